"""The contract checks as pytest tests, one id a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from diffmusic.datasets.contract import Dataset
from diffmusic.editor.contract import AudioEditor, Editor
from diffmusic.metrics.contract import PairMetric, SetMetric
from diffmusic.metrics.embeddings import Embedding
from diffmusic.prior.backbone import LatentModel
from diffmusic.problem.operator import Operator
from diffmusic.solver.contract import AnySolver
from diffmusic.testing.backbones import backbone_checks
from diffmusic.testing.checks import Check, title
from diffmusic.testing.datasets import dataset_checks
from diffmusic.testing.metrics import embedding_checks, metric_checks
from diffmusic.testing.operators import operator_checks
from diffmusic.testing.solvers import solver_checks

if TYPE_CHECKING:
    import pytest

CHECKS: dict[str, Callable[[Any], list[Check]]] = {
    "operator": operator_checks,
    "solver": solver_checks,
    "backbone": backbone_checks,
    "metric": metric_checks,
    "embedding": embedding_checks,
    "dataset": dataset_checks,
}
# A callable may be anything, so that metrics of pairs come last; a network may have a method forward of its own.
_CONTRACTS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("backbone", (LatentModel,)),
    ("solver", (*get_args(AnySolver), Editor, AudioEditor)),
    ("dataset", (Dataset,)),
    ("metric", (SetMetric,)),
    ("embedding", (Embedding,)),
    ("operator", (Operator,)),
    ("metric", (PairMetric,)),
)


def kind_of(component: Any) -> str:
    """Return the kind of a component by the contract that it has the methods of.

    Args:
        component: An operator, solver, editor, backbone, metric, embedding or dataset.

    Raises:
        TypeError: It has the methods of none.
    """
    for kind, contracts in _CONTRACTS:
        if isinstance(component, contracts):
            return kind
    raise TypeError(
        f"{component!r} has the methods of no contract: operator, solver, backbone, metric, embedding or dataset"
    )


def parametrize_with_checks(
    components: Mapping[str, Any] | Sequence[Any],
    *,
    kind: str | None = None,
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
) -> pytest.MarkDecorator:
    """Decorate a test so that it runs once for every component and every check of its contract.

    The test takes ``component`` and ``check``:

        @parametrize_with_checks([Echo(), Echo(delay=0.2)])
        def test_contract(component, check):
            check(component)

    Args:
        components: Instances, or a mapping from the names of the test ids to instances; otherwise a name is the
            class or the function, and the number where several have one.
        kind: Operator, solver, backbone, metric, embedding or dataset; by default what each one's methods say.
        expected_failures: By component name, the checks that are known to fail and the reason of each. Such a test is
            an expected failure (``pytest.mark.xfail``, strict): it fails once the check passes.

    Returns:
        A ``pytest.mark.parametrize``.

    Raises:
        TypeError: A component keeps no contract.
        ValueError: An expected failure names no component or no check.
    """
    import pytest

    named = dict(components) if isinstance(components, Mapping) else _named(components)
    exceptions = {name: dict(reasons) for name, reasons in (expected_failures or {}).items()}
    cases = []
    for name, component in named.items():
        reasons = exceptions.pop(name, {})
        for check in CHECKS[kind or kind_of(component)](component):
            reason = reasons.pop(title(check), None)
            marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason is not None else []
            cases.append(pytest.param(component, check, id=f"{name}-{title(check)}", marks=marks))
        if reasons:
            raise ValueError(f"{name} has no check called {' or '.join(map(repr, reasons))}")
    if exceptions:
        raise ValueError(f"there is no component {' or '.join(map(repr, exceptions))}")
    return pytest.mark.parametrize(("component", "check"), cases)


def _named(components: Sequence[Any]) -> dict[str, Any]:
    names = [getattr(each, "__name__", type(each).__name__) for each in components]
    return {
        name if names.count(name) == 1 else f"{name}{number}": each
        for number, (name, each) in enumerate(zip(names, components, strict=True))
    }
