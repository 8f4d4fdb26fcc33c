"""Solvers in the latents on every kind of checkpoint: VP and flow priors, stereo, batches, guidance, long files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffmusic.models.load import load_model
from diffmusic.prior.backbone import HasContext
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings
from diffmusic_operators.inpainting import Inpainting
from diffmusic_operators.resampling import Resampling
from diffmusic_solvers.lanpaint import LanPaint
from diffmusic_solvers.mmps import MMPS
from diffmusic_solvers.repaint import RePaint

SOLVERS = [MMPS(iterations=1), RePaint(repeats=1), LanPaint(repeats=1)]


def recording(seconds: float, rate: int, channels: int = 2) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal((channels, len(time)))
    return 0.2 * np.sin(2 * np.pi * 220 * time) + 0.05 * noise


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("kind", ["musicldm", "audioldm2", "stable_audio", "stable_audio_3"])
def test_gaps_of_a_stereo_recording_are_filled_in_batches(built: Callable[[str], Path], kind: str, solver: Any) -> None:
    backbone = load_model(str(built(kind)))
    rate, seconds = backbone.sample_rate, min(1.5, 0.9 * backbone.excerpt_seconds)
    audio = recording(seconds, rate)
    operator = Inpainting(gap=((0.3 * seconds, 0.4 * seconds), (0.6 * seconds, 0.65 * seconds)))
    result = restore(audio, rate, operator, solver, backbone, RestoreSettings(steps=2, samples=2, batch=4))
    # Mid and side of a mono prior are items of their own; both samples of one share their encodings.
    items = 1 if backbone.channels == 2 else 2
    assert result.costs.decoder_forward == 2 * items
    assert result.costs.decoder_backward == 0
    # A prior that sees what surrounds a gap is shown it once for each sample; what the song says of it is a third.
    shown = 2 if isinstance(backbone, HasContext) else 0
    assert result.costs.encoder_forward == 3 * items + shown
    lost = np.zeros(audio.shape[-1], dtype=bool)
    for start, stop in result.damage:
        lost[start:stop] = True
    assert np.array_equal(result.audio[0][:, ~lost], audio[:, ~lost])
    assert np.abs(result.audio[0] - result.audio[1])[:, lost].max() > 0


def test_guidance_takes_both_passes(built: Callable[[str], Path]) -> None:
    backbone = load_model(str(built("musicldm")))
    settings = RestoreSettings(steps=2, prompt="strings", guidance=2.0)
    result = restore(
        recording(1.0, 16000, 1), 16000, Inpainting(gap=((0.4, 0.5),)), MMPS(iterations=3), backbone, settings
    )
    assert result.costs.network_forward == 4
    assert result.costs.network_backward == 12


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda each: type(each).__name__)
def test_a_long_recording_is_solved_in_windows(built: Callable[[str], Path], solver: Any) -> None:
    backbone = load_model(str(built("musicldm")))
    audio = recording(2.5 * backbone.excerpt_seconds, 8000, 1)
    result = restore(audio, 8000, Resampling(), solver, backbone, RestoreSettings(steps=2))
    assert result.audio.shape[-1] == 2 * audio.shape[-1]
    assert result.costs.encoder_forward > 4
    assert result.costs.decoder_backward == 0
