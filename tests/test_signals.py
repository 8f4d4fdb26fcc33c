"""What is measured and drawn of a recording does not depend on how it is read, and nobody reads it at once."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from diffmusic.audio import signal
from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.audio.resample import resample
from diffmusic.audio.signal import Samples, together
from diffmusic.jobs import record
from diffmusic.metrics.contract import HasSignals, PairMetric, load_metric, measure_damage, measure_signals
from diffmusic.metrics.lsd import log_magnitudes
from diffmusic.reports.spectrograms import spectrograms
from diffmusic.tasks import solving
from tests.test_passages import Counting, music

RATE = 8000


def blocks_of(monkeypatch: pytest.MonkeyPatch, samples: int, frames: int) -> None:
    monkeypatch.setattr(signal, "BLOCK", samples)
    monkeypatch.setattr("diffmusic.audio.pieces.PIECE", frames)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    clean = music()[:, : 9 * RATE + 77]
    return clean, clean + 0.02 * np.random.default_rng(1).standard_normal(clean.shape)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("name", ["lsd", "mel_l1", "si_sdr"])
def test_a_metric_of_blocks_is_that_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[np.ndarray, np.ndarray], name: str, rate: int
) -> None:
    metric = load_metric(name)
    assert isinstance(metric, PairMetric)
    assert isinstance(metric, HasSignals)
    held = metric(*pair, rate)
    given = [Counting(each) for each in pair]
    clean, noisy = given
    blocks_of(monkeypatch, 5_000, 40)
    # The last bits of a sum depend on its parts.
    assert measure_signals(metric, clean, noisy, rate) == pytest.approx(held, rel=1e-12)
    assert not any(each.stretches for each in given)
    lost = [(9000, 12000), (20000, 20500)]
    assert measure_signals(metric, clean, noisy, rate, lost) == measure_damage(metric, *pair, rate, lost)


def test_the_metrics_are_their_formulas(pair: tuple[np.ndarray, np.ndarray]) -> None:
    low = [resample(each, RATE, 16000) for each in pair]
    x, y = (log_magnitudes(each, 1024, 512, 1e-10) for each in low)
    assert load_metric("lsd")(*pair, RATE) == np.sqrt(np.square(x - y).mean(-1)).mean()  # type: ignore[operator]
    import torch

    a, b = (LogMel(MelSpec())(torch.from_numpy(each)) for each in low)
    assert load_metric("mel_l1")(*pair, RATE) == pytest.approx(float((a - b).abs().mean()))  # type: ignore[operator]
    scale = (pair[0] * pair[1]).sum(-1, keepdims=True) / np.square(pair[0]).sum(-1, keepdims=True)
    ratio = np.square(scale * pair[0]).sum(-1) / np.square(scale * pair[0] - pair[1]).sum(-1)
    assert load_metric("si_sdr")(*pair, RATE) == pytest.approx(10 * np.log10(ratio).mean())  # type: ignore[operator]


def test_blocks_of_two_signals_go_together(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    class Uneven(Counting):
        def blocks(self):  # type: ignore[no-untyped-def]
            return (self.audio[:, first : first + 777] for first in range(0, self.samples, 777))

    monkeypatch.setattr(signal, "BLOCK", 1000)
    parts = list(together(Samples(pair[0]), Uneven(pair[1])))
    assert all(a.shape == b.shape for a, b in parts)
    for ours, theirs in zip(zip(*parts, strict=True), pair, strict=True):
        np.testing.assert_array_equal(np.concatenate(ours, axis=1), theirs)


def test_a_picture_of_blocks_is_that_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    held = spectrograms([("a", pair[0]), ("b", pair[1])], RATE)
    given = [Counting(each) for each in pair]
    blocks_of(monkeypatch, 5_000, 64)
    assert spectrograms([("a", given[0]), ("b", given[1])], RATE) == held
    monkeypatch.setattr("diffmusic.reports.spectrograms._FRAMES", 100)
    assert spectrograms([("a", given[0]), ("b", given[1])], RATE) != held
    assert not any(each.stretches for each in given)


@pytest.mark.parametrize("how", ["reference", "simulate"])
def test_a_truth_stays_on_file(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., SimpleNamespace], tmp_path: Path, how: str
) -> None:
    path, clean = tmp_path / "x.wav", tmp_path / "clean.wav"
    audio = music()
    soundfile.write(clean, audio.T, RATE, subtype="PCM_24")
    audio[:, 9 * RATE : 9 * RATE + 800] = 0
    soundfile.write(path, audio.T, RATE, subtype="PCM_24")
    flags = ["--reference", clean] if how == "reference" else ["--simulate"]
    damaged = clean if how == "simulate" else path
    given = ["solve", "inpainting", damaged, "--solver", "interpolate", "-s", "order=64", *flags]
    given += ["--gap", "9:9.1", "--region", "14:14.3@500:900", "--plot", tmp_path / "x.png", "-o", tmp_path / "y.wav"]

    def outcome() -> tuple[bytes, dict[str, dict[str, float]]]:
        result = run(*given)
        assert result.code == 0, result.err
        document = record.load(tmp_path / "y.wav.json")
        return (tmp_path / "y.wav").read_bytes(), document["metrics"][0]

    blocks_of(monkeypatch, 7_000, 64)
    with monkeypatch.context() as here:
        for module in ("jobs.inputs", "metrics.contract", "cli.report", "tasks.restore"):
            here.setattr(f"diffmusic.{module}.whole", None)  # nobody may read all of it
        ours, scores = outcome()
    monkeypatch.setattr(solving.Task, "reach", lambda task, rate: None)
    held, theirs = outcome()
    assert ours == held
    assert scores["lsd"].keys() == {"restored", "damaged", "restored_in_damage", "damaged_in_damage"}
    for name, values in scores.items():
        assert values == pytest.approx(theirs[name], rel=1e-9)
