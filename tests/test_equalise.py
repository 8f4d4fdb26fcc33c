"""The equaliser: gains are measured, applied, bounded, and left alone where there is nothing to amplify."""

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from diffmusic.audio.equalise import LIMIT, apply, gains
from diffmusic_operators.inpainting import Inpainting

RATE = 16000
NOISE = np.random.default_rng(0).standard_normal(4 * RATE)


def test_gains_of_equal_sounds_are_zero() -> None:
    _, decibels = gains(NOISE, NOISE, RATE)
    assert np.abs(decibels).max() < 1e-9


@pytest.mark.parametrize("change", [-3.0, 2.0])
def test_a_change_of_level_is_found_in_every_band(change: float) -> None:
    _, decibels = gains(NOISE, NOISE * 10 ** (change / 20), RATE)
    np.testing.assert_allclose(decibels, change, atol=1e-3)


def test_gains_are_bounded() -> None:
    for factor, limit in ((100.0, LIMIT), (0.01, -LIMIT)):
        np.testing.assert_allclose(gains(NOISE, NOISE * factor, RATE)[1], limit)


def test_what_the_estimate_does_not_hold_is_not_amplified() -> None:
    low = sosfilt(butter(20, 2000, fs=RATE, output="sos"), NOISE)
    centres, decibels = gains(low, NOISE, RATE)
    assert np.abs(decibels[centres < 1200]).max() < 1.0
    np.testing.assert_array_equal(decibels[centres > 5000], 0.0)


def test_applying_the_gains_undoes_a_colouration() -> None:
    tilt = np.array([100.0, 800.0, 6400.0]), np.array([4.0, 0.0, -4.0])
    coloured = apply(NOISE, *tilt, RATE)
    restored = apply(coloured, *gains(coloured, NOISE, RATE), RATE)
    before, after = (np.abs(gains(x, NOISE, RATE)[1]).max() for x in (coloured, restored))
    assert before > 3.0
    assert after < 0.6


def test_applying_has_no_delay() -> None:
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 500 * time)
    louder = apply(tone, np.array([100.0, 1000.0]), np.array([6.0, 6.0]), RATE)
    np.testing.assert_allclose(louder, tone * 10 ** (6 / 20), atol=1e-9)


def test_finishing_undoes_inside_a_gap_what_the_round_trip_did_around_it() -> None:
    import torch

    operator = Inpainting(gap=((1.5, 2.5),), crossfade=0.0)
    truth = torch.from_numpy(NOISE)[None, None]
    estimate = truth * 10 ** (-3 / 20)
    finished = operator.finish(estimate, operator.forward(truth))
    np.testing.assert_allclose(finished.numpy(), truth.numpy(), atol=1e-3)
