"""Contract tests that every operator, solver, backbone, metric, embedding and dataset has to pass.

``@parametrize_with_checks([MyOperator()])`` in a plugin's own tests makes one of each check; ``check_operator`` and the
like run all checks at once; ``diffmusic check NAME`` prints every result.
"""

from __future__ import annotations

from typing import Any

from diffmusic.problem.operator import Operator
from diffmusic.testing.backbones import backbone_checks
from diffmusic.testing.checks import HasExample, Result, examine
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
    """Run every check of a kind on a component.

    Args:
        kind: operator, solver, backbone, metric, embedding or dataset.
        component: The component; what its checks raise becomes a result.

    Returns:
        A result for each check, in order.
    """
    return examine(component, CHECKS[kind](component))


def _demand(results: list[Result], component: Any) -> None:
    failed = [f"{result.name}: {result.detail}" for result in results if not result.passed]
    assert not failed, f"{type(component).__name__} fails {len(failed)} of {len(results)} checks: " + "; ".join(failed)


def check_operator(operator: Operator) -> None:
    """Assert that an operator keeps its contract: every check of it in one call.

    It is repeatable, pure, treats items alone, is differentiable, takes any length and any number of channels, has the
    adjoint it claims, and damages and finishes what it says.

    Args:
        operator: The operator, with parameters under which it does something (``example``).

    Raises:
        AssertionError: A check fails; the message has its numbers.
    """
    _demand(examine(operator, operator_checks(operator)), operator)


def check_solver(solver: Any, tolerance: float = 0.5, steps: int = 50) -> None:
    """Assert that a solver or an editor keeps its contract: every check of it in one call.

    It is pure, repeatable, treats items alone, and errs in the posterior mean of a Gaussian whose posterior is known in
    closed form (``diffmusic.testing.oracle``) by less than ``tolerance``, where an unguided one errs by about 1.

    Args:
        solver: A solver with a prior, one without, or an editor.
        tolerance: Largest error of the posterior mean, for a solver with a prior.
        steps: Noise levels of its walk.

    Raises:
        AssertionError: A check fails; the message has its numbers.
    """
    _demand(examine(solver, solver_checks(solver, tolerance, steps)), solver)


def check_backbone(backbone: Any) -> None:
    """Assert that latents, noise levels, gradients and denoiser of a backbone are what its contract says.

    Args:
        backbone: The backbone, loaded.

    Raises:
        AssertionError: A check fails; the message has its numbers.
    """
    _demand(examine(backbone, backbone_checks(backbone)), backbone)


def check_metric(metric: Any) -> None:
    """Assert that a metric is repeatable and pure, takes audio of any shape, and orders by error.

    A metric of sets also has to describe its embedding.

    Args:
        metric: A metric of pairs or of sets.

    Raises:
        AssertionError: A check fails; the message has its numbers.
    """
    results = examine(metric, metric_checks(metric))
    failed = [f"{result.name}: {result.detail}" for result in results if not result.passed]
    assert not failed, f"{metric} fails {len(failed)} of {len(results)} checks: " + "; ".join(failed)


def check_embedding(embedding: Any) -> None:
    """Assert that an embedding is repeatable and pure, takes audio of any shape, and moves away as noise is added.

    Args:
        embedding: The embedding, loaded.

    Raises:
        AssertionError: A check fails; the message has its numbers.
    """
    _demand(examine(embedding, embedding_checks(embedding)), embedding)


def check_dataset(dataset: Any) -> None:
    """Assert that the recordings of a dataset have names of their own, and load whole and in parts as they should.

    Args:
        dataset: The dataset; three of its recordings are opened.

    Raises:
        AssertionError: A check fails; the message has its numbers.
    """
    _demand(examine(dataset, dataset_checks(dataset)), dataset)


def example(component: type) -> Any:
    """Make an instance to check: ``component.example()`` where the defaults alone would not do anything.

    Args:
        component: The class of an operator or a solver.

    Returns:
        The instance.
    """
    return component.example() if isinstance(component, HasExample) else component()
