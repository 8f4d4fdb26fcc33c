"""Solves that failed are said, and those that did not are not."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from diffmusic.errors import Diverged
from diffmusic.problem import BoundOperator
from diffmusic.tasks import doubts as module
from diffmusic.tasks.doubts import doubts
from diffmusic_operators.inpainting import Inpainting
from diffmusic_operators.resampling import Resampling

RATE = 16000


def music(level: float = 0.1) -> Tensor:
    """Noise that falls by 6 dB an octave, with a beat."""
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(4 * RATE))
    bins = torch.fft.rfft(noise)
    shaped = torch.fft.irfft(bins / torch.arange(1, len(bins) + 1) ** 0.5, len(noise))
    beat = 1 + 0.5 * torch.sin(2 * torch.pi * 3 * torch.arange(len(noise)) / RATE)
    return (level * beat * shaped / shaped.std())[None, None]


def found(operator: Inpainting, x: Tensor, estimate: Tensor) -> list[str]:
    bound = BoundOperator(dataclasses.replace(operator, sample_rate=RATE), RATE, RATE)
    return doubts(bound, estimate, bound.operator.forward(x), RATE / 2)


def inside(x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    out = x.clone()
    out[..., 24000:32000] = change(x[..., 24000:32000])
    return out


GAP, REGION = Inpainting(gap=((1.5, 2.0),)), Inpainting(region=((1.5, 2.0, 500.0, 4000.0),))


@pytest.mark.parametrize("operator", [GAP, REGION])
def test_the_truth_raises_no_doubt(operator: Inpainting) -> None:
    assert found(operator, music(), music()) == []
    assert found(operator, music(), inside(music(), lambda x: x.flip(-1))) == []


@pytest.mark.parametrize("operator", [GAP, REGION])
@pytest.mark.parametrize(("gain", "word"), [(0.1, "quieter"), (10.0, "louder")])
def test_a_filling_20_db_off_is_said(operator: Inpainting, gain: float, word: str) -> None:
    (text,) = found(operator, music(), inside(music(), lambda x: gain * x))
    assert word in text


@pytest.mark.parametrize(
    ("operator", "gain"),
    [(where, gain) for where in (GAP, REGION) for gain in (0.0, 100.0, float("nan"))],
)
def test_silence_and_40_db_are_an_error(operator: Inpainting, gain: float) -> None:
    with pytest.raises(Diverged):
        found(operator, music(), inside(music(), lambda x: gain * x))


def test_a_rectangle_of_the_wrong_spectrum_is_said() -> None:
    tone = torch.sin(2 * torch.pi * 700 * torch.arange(8000) / RATE).double()[None, None]
    band = REGION.region[0]
    loud = float(Inpainting(region=(band,), sample_rate=RATE).forward(music()).sub(music()).std()) * 4
    (text,) = found(REGION, music(), inside(music(), lambda x: loud * tone))
    assert "spectrum" in text


def test_a_silent_band_around_a_rectangle_says_nothing() -> None:
    low = torch.sin(2 * torch.pi * 100 * torch.arange(4 * RATE) / RATE).double()[None, None]
    assert found(Inpainting(region=((1.5, 2.0, 3000.0, 4000.0),)), low, low) == []


def test_a_wrong_spectrum_at_the_right_level_is_said() -> None:
    tone = torch.sin(2 * torch.pi * 5000 * torch.arange(8000) / RATE).double()[None, None]
    (text,) = found(GAP, music(), inside(music(), lambda x: tone * x.std() * 2**0.5))
    assert "spectrum" in text


def test_an_estimate_that_does_not_explain_the_measurement_is_said() -> None:
    operator = Resampling(sample_rate=RATE, measured_rate=RATE // 2)
    bound = BoundOperator(operator, RATE, RATE // 2)
    y = operator.forward(music())
    assert doubts(bound, music(), y, RATE / 2) == []
    (text,) = doubts(bound, 0.05 * music().flip(-1), y, RATE / 2)
    assert "does not explain" in text


def test_a_fade_out_is_no_failure() -> None:
    faded = music() * torch.linspace(1, 0, 4 * RATE).double() ** 3
    operator = Inpainting(gap=((3.0, 3.9),))
    assert found(operator, faded, faded) == []


def test_the_command_line_says_it_and_the_record_keeps_it(
    song: Callable[..., Path], tiny: Path, run: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    words = ["solve", "inpainting", song(), "--gap", "0.5:0.9", "--model", tiny, "--steps", "2", "--solver", "dps"]
    monkeypatch.setattr(module, "NOTED", -1.0)
    monkeypatch.setattr(module, "REFUSED", 1e9)
    done = run(*words, "-o", tmp_path / "out.wav")
    assert done.code == 0
    assert "note: what was filled in" in done.err
    assert "solver mmps" in done.err
    assert "what was filled in" in (tmp_path / "out.wav.json").read_text()
    monkeypatch.setattr(module, "REFUSED", -1.0)
    failed = run(*words, "-o", tmp_path / "other.wav")
    assert failed.code == 1
    assert not (tmp_path / "other.wav").exists()
