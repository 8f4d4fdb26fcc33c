"""Every registered component keeps its contract: a new one is tested because it exists."""

import pytest

from diffmusic import testing
from diffmusic.metrics import embeddings
from diffmusic.metrics.contract import load_metric
from diffmusic.metrics.plugin import diffmusic_metrics
from diffmusic.plugins import KINDS, registry

FOUND = registry()


@pytest.mark.parametrize("name", FOUND.components("operator"))
def test_operator(name: str) -> None:
    testing.check_operator(testing.example(FOUND.load("operator", name)))


@pytest.mark.parametrize("name", FOUND.components("solver"))
def test_solver(name: str) -> None:
    testing.check_solver(testing.example(FOUND.load("solver", name)))


@pytest.mark.parametrize(
    "name", sorted({*FOUND.components("metric")} - {"kl"})
)  # tests/test_pair_metrics.py gives it one
def test_metric(name: str) -> None:
    testing.check_metric(load_metric(name))


@pytest.mark.parametrize("name", FOUND.components("embedding"))
def test_embedding(name: str) -> None:
    testing.check_embedding(embeddings.load(name))


@pytest.mark.parametrize("kind", KINDS)
def test_every_offer_can_be_imported_and_documents_itself(kind: str) -> None:
    for name, spec in FOUND.components(kind).items():
        assert (spec.load().__doc__ or "").strip(), f"{kind} {name} has no docstring"
        assert spec.summary


def test_built_ins_come_through_the_public_route() -> None:
    assert {plugin.distribution for plugin in FOUND.plugins if plugin.offers} >= {"diffmusic"}
    assert set(FOUND.components("metric")) >= {spec.name for spec in diffmusic_metrics()}
