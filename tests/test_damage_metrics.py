"""Metrics that are told where a recording was damaged: by hand, by ``solve`` and by a benchmark."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from diffmusic import plugins
from diffmusic.bench import cell
from diffmusic.bench.clips import Material
from diffmusic.bench.named import Named
from diffmusic.metrics.contract import measure, measure_damage, takes_damage
from diffmusic.metrics.mel_l1 import mel_l1

LOST = [(100, 150), (400, 600)]
METRIC = """
from diffmusic import Spec, hookimpl


@hookimpl
def diffmusic_metrics():
    return [Spec("lost", "my_metric:lost", "samples that were lost", ("pair", "solve"))]


def lost(reference, estimate, sample_rate, damage=None):
    return float(sum(stop - start for start, stop in damage or [(0, reference.shape[-1])]))
"""


def told(
    reference: np.ndarray,
    estimate: np.ndarray,
    sample_rate: int,
    prompt: str,
    damage: Sequence[tuple[int, int]] | None = None,
) -> float:
    return len(prompt) + (0.5 if damage is None else sum(stop - start for start, stop in damage))


@pytest.fixture
def added(tmp_path: Path) -> Iterator[Path]:
    """The file of a plugin with such a metric; what adding it changes in this process is taken back."""
    path = tmp_path / "my_metric.py"
    path.write_text(METRIC)
    before = sys.path.copy()
    yield path
    plugins.FILES.clear()
    plugins.registry.cache_clear()
    sys.path[:] = before
    sys.modules.pop("my_metric", None)


def test_a_metric_is_told_what_it_takes() -> None:
    x = np.zeros((1, 1000))
    assert measure(told, x, x, 8000, "a harp", LOST) == 6 + 250  # type: ignore[arg-type]
    assert measure(told, x, x, 8000, "a harp") == 6.5  # type: ignore[arg-type]
    assert measure(told, x, x, 8000, damage=LOST) is None  # type: ignore[arg-type]
    assert takes_damage(told)  # type: ignore[arg-type]
    assert not takes_damage(mel_l1)


def test_of_other_metrics_the_stretches_are_averaged_by_length() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 1, 8000))
    lost = [(1000, 3000), (4000, 7000)]
    parts = [mel_l1(x[:, start:stop], y[:, start:stop], 8000) for start, stop in lost]
    assert measure_damage(mel_l1, x, y, 8000, lost) == pytest.approx((2 * parts[0] + 3 * parts[1]) / 5)
    assert measure(mel_l1, x, y, 8000, damage=lost) == mel_l1(x, y, 8000)


def test_solve_tells_where_the_gap_was(
    run: Callable[..., SimpleNamespace], song: Callable[..., Path], added: Path, tmp_path: Path
) -> None:
    words = ("--gap", "0.6:0.9", "--simulate", "--solver", "interpolate", "-o", tmp_path / "out.wav", "--plugin", added)
    result = run("solve", "inpainting", song(), *words)
    assert result.code == 0, result.err
    scores = json.loads((tmp_path / "out.wav.json").read_text())["metrics"][0]["lost"]
    assert scores == {"restored": 24000, "damaged": 24000, "restored_in_damage": 4800, "damaged_in_damage": 4800}


def test_a_benchmark_tells_where_the_gap_was(added: Path) -> None:
    plugins.add_file(added)
    clip = Material("clip", np.random.default_rng(0).standard_normal((1, 24000)) / 10, 16000)

    def lost(kind: cell.Kind, operator: Named | None, solver: Named | None = None) -> float:
        record = cell.run(cell.Task(kind, (Named("lost"),), operator, solver), clip).record
        assert record["error"] is None, record
        value: float = record["finished"]["scores"]["lost"]
        return value

    gap = Named("inpainting", {"gap": "0.6:0.9"})
    assert lost("measurement", gap) == lost("truth", gap) == lost("solve", gap, Named("interpolate")) == 4800
    assert lost("measurement", Named("resampling")) == lost("truth", None) == 24000  # no part of it, but its band
