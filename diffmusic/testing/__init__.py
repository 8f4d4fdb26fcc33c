"""The contract tests that every operator, solver, backbone, metric, embedding and dataset has to pass, anyone's.

``@parametrize_with_checks([MyOperator()])`` in a plugin's own tests makes one of each check; ``check_operator`` and the
like run all checks at once; ``diffmusic check NAME`` prints every result.
"""

from __future__ import annotations

from typing import Any

from diffmusic.problem.operator import Operator
from diffmusic.testing.backbones import backbone_checks
from diffmusic.testing.checks import Result, examine
from diffmusic.testing.datasets import dataset_checks
from diffmusic.testing.metrics import embedding_checks, metric_checks
from diffmusic.testing.operators import operator_checks
from diffmusic.testing.parametrize import CHECKS, parametrize_with_checks
from diffmusic.testing.solvers import solver_checks

__all__ = [
    "check_backbone", "check_dataset", "check_embedding", "check_metric", "check_operator", "check_solver", "example",
    "parametrize_with_checks", "run_checks",
]  # fmt: skip


def run_checks(kind: str, component: Any) -> list[Result]:
    """Run every check of a kind (operator, solver, backbone, metric, embedding or dataset) on a component."""
    return examine(component, CHECKS[kind](component))


def _demand(results: list[Result], component: Any) -> None:
    failed = [f"{result.name}: {result.detail}" for result in results if not result.passed]
    assert not failed, f"{type(component).__name__} fails {len(failed)} of {len(results)} checks: " + "; ".join(failed)


def check_operator(operator: Operator) -> None:
    """Assert that an operator is repeatable, pure, treats items alone, is differentiable, takes any length and any
    number of channels, has the adjoint it claims, and damages and finishes what it says."""
    _demand(examine(operator, operator_checks(operator)), operator)


def check_solver(solver: Any, tolerance: float = 0.5, steps: int = 50) -> None:
    """Assert that a solver is pure, repeatable, treats items alone, and errs in the posterior mean of the Gaussian
    oracle (``diffmusic.testing.oracle``) by less than ``tolerance``, where an unguided one errs by about 1."""
    _demand(examine(solver, solver_checks(solver, tolerance, steps)), solver)


def check_backbone(backbone: Any) -> None:
    """Assert that a backbone's latents, levels, gradients and denoiser are what ``diffmusic.prior`` says."""
    _demand(examine(backbone, backbone_checks(backbone)), backbone)


def check_metric(metric: Any) -> None:
    """Assert that a metric is repeatable and pure, takes audio of any shape, and orders by error; one of sets also that
    it says what it embeds with."""
    results = examine(metric, metric_checks(metric))
    failed = [f"{result.name}: {result.detail}" for result in results if not result.passed]
    assert not failed, f"{metric} fails {len(failed)} of {len(results)} checks: " + "; ".join(failed)


def check_embedding(embedding: Any) -> None:
    """Assert that an embedding is repeatable and pure, takes audio of any shape, says what it is, and that the Fréchet
    distance of what it gives orders by error."""
    _demand(examine(embedding, embedding_checks(embedding)), embedding)


def check_dataset(dataset: Any) -> None:
    """Assert that the recordings of a dataset have names of their own, and load whole and in parts as they should."""
    _demand(examine(dataset, dataset_checks(dataset)), dataset)


def example(component: type) -> Any:
    """An instance to check: ``component.example()`` where the defaults alone would not do anything."""
    return component.example() if hasattr(component, "example") else component()
