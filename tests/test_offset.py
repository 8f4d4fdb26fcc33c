"""What a gap keeps of its surroundings whatever fills it: the mean, and the sign."""

import numpy as np
import pytest

from diffmusic.audio.linear_prediction import extrapolate
from diffmusic.tasks.restore import restore
from diffmusic_operators.inpainting import Inpainting
from diffmusic_solvers.interpolate import Interpolate

RATE = 44100
TIME = np.arange(5 * RATE) / RATE


@pytest.mark.parametrize("mean", [0.05, 0.5, -0.2])
def test_the_mean_of_a_recording_goes_on_in_a_gap(mean: float) -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal((2, 3 * RATE))
    music = 0.1 * np.sin(2 * np.pi * 330 * TIME[: 3 * RATE]) + noise + np.array([[mean], [0.0]])
    operator = Inpainting(gap=((1.0, 2.0),))
    result = restore(music, RATE, operator, Interpolate())
    middle = result.audio[0][:, round(1.4 * RATE) : round(1.6 * RATE)].mean(1)
    np.testing.assert_allclose(middle, [mean, 0], atol=0.005)
    np.testing.assert_array_equal(result.audio[0][:, :RATE], music[:, :RATE])
    np.testing.assert_array_equal(result.audio[0][:, 2 * RATE :], music[:, 2 * RATE :])


def test_opposite_recordings_are_restored_to_opposite_ones() -> None:
    noise = 0.01 * np.random.default_rng(2).standard_normal((1, RATE))
    music = 0.1 * np.sin(2 * np.pi * 330 * TIME[None, :RATE]) + noise
    operator = Inpainting(gap=((0.4, 0.5),))
    first, second = (restore(sign * music, RATE, operator, Interpolate()).audio for sign in (1, -1))
    np.testing.assert_array_equal(second, -first)


def test_opposite_signals_are_continued_by_opposite_ones() -> None:
    x = np.sin(np.arange(2000) / 9) + 0.1 * np.random.default_rng(1).standard_normal(2000)
    np.testing.assert_array_equal(extrapolate(-x, 500, 200), -extrapolate(x, 500, 200))
