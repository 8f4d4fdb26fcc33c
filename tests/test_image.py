"""Stereo: what the channels have in common is solved once, and the image stays where it was."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diffmusic.audio.stereo import StereoTransform
from diffmusic.models.load import load_model
from diffmusic.solver.noise import generator
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings
from diffmusic_operators.inpainting import Inpainting
from diffmusic_operators.reverb import Reverb
from diffmusic_solvers.diffmusic import DiffMusic


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("stereo", ["mid-side", "separate"])
@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_components_are_orthogonal_and_go_back_to_the_channels(stereo, channels: int) -> None:  # type: ignore[no-untyped-def]
    y = noise(channels, 500)
    image = StereoTransform.of(y, stereo, linear=True)
    torch.testing.assert_close(image.join(image.split(y)), y)
    torch.testing.assert_close(image.weights @ image.weights.T, torch.eye(channels, dtype=torch.float64))


def test_operators_that_are_not_linear_and_magnitudes_keep_their_channels() -> None:
    y = noise(2, 500)
    assert StereoTransform.of(y, "mid-side", linear=False).split(y) is y
    magnitudes = noise(2, 10, 5)
    assert StereoTransform.of(magnitudes, "mid-side", linear=True).split(magnitudes) is magnitudes


def test_every_component_has_the_polarity_of_the_loudest() -> None:
    y = noise(1, 500)
    components = StereoTransform.of(torch.cat([0.3 * y, y]), "mid-side", linear=True).split(torch.cat([0.3 * y, y]))
    assert (components[0] * components[1]).sum() > 0
    apart = torch.cat([y, -0.5 * y, 0.1 * y])
    torch.testing.assert_close(StereoTransform.of(apart, "separate", linear=True).split(apart)[1], 0.5 * y[0])


PANS = {"equal": (1.0, 1.0), "opposite": (1.0, -1.0), "left": (1.0, 0.0), "right of centre": (0.3, 1.0),
        "opposite and softer": (-0.5, 1.0)}  # fmt: skip


@pytest.mark.parametrize("stereo", ["mid-side", "separate"])
@pytest.mark.parametrize("pan", PANS)
@pytest.mark.parametrize("operator", [Inpainting(gap=((0.4, 0.6),)), Reverb(decay=0.1)])
def test_one_sound_stays_in_its_place(tiny: Path, pan: str, operator, stereo) -> None:  # type: ignore[no-untyped-def]
    """A source panned with gains (a, b) comes back panned with (a, b), inside the damage too."""
    mono = 0.1 * noise(16000).numpy()
    gains = np.array(PANS[pan])
    result = restore(
        gains[:, None] * mono,
        16000,
        operator,
        DiffMusic(repeats=1),
        load_model(str(tiny)),
        RestoreSettings(steps=2, stereo=stereo),
    )
    left, right = result.audio[0][:, 6400:9600]
    error = gains[1] * left - gains[0] * right  # zero for a sound in its place
    assert np.square(error).sum() < 1e-3 * np.square(result.audio[0][:, 6400:9600]).sum()
