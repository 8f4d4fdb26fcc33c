"""Every registered component keeps its contract: a new one is tested because it exists, check by check."""

import shutil
from typing import Any

import numpy as np
import pytest

from diffmusic import testing
from diffmusic.metrics import embeddings
from diffmusic.metrics.contract import load_metric
from diffmusic.metrics.plugin import diffmusic_metrics
from diffmusic.plugins import KINDS, registry
from diffmusic.testing.checks import Check, title

FOUND = registry()
EMBEDDED: dict[tuple[Any, ...], np.ndarray] = {}
NEED_MORE = {"kl"}
"""Metrics with a parameter that has no default: tests/test_pair_metrics.py gives kl its classifier."""


@pytest.fixture
def shared(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Embed the recordings of the check of distances once for all metrics that share an embedding: it is what takes
    most of the time. Whether they embed as they should is left to the other checks."""
    if title(request.getfixturevalue("check")) == "distances":
        embed = embeddings.Embedded.embed

        def remembered(self: embeddings.Embedded, audio: np.ndarray, sample_rate: int, /) -> np.ndarray:
            key = (self.embedding, audio.shape, audio.tobytes(), sample_rate)
            if key not in EMBEDDED:
                EMBEDDED[key] = embed(self, audio, sample_rate)
            return EMBEDDED[key].copy()

        monkeypatch.setattr(embeddings.Embedded, "embed", remembered)


def examples(kind: str) -> dict[str, Any]:
    return {name: testing.example(FOUND.load(kind, name)) for name in FOUND.components(kind)}


@testing.parametrize_with_checks(examples("operator"), kind="operator")
def test_operator(component: Any, check: Check) -> None:
    if type(component).__name__ == "Codec" and shutil.which("ffmpeg") is None:
        pytest.skip("a codec needs ffmpeg")
    check(component)


@testing.parametrize_with_checks(examples("solver"), kind="solver")
def test_solver(component: Any, check: Check) -> None:
    check(component)


@testing.parametrize_with_checks(
    {name: load_metric(name) for name in FOUND.components("metric") if name not in NEED_MORE}, kind="metric"
)
def test_metric(component: Any, check: Check, shared: None) -> None:
    check(component)


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
