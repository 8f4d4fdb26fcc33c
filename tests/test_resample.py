"""Resampling: the same sound at another rate."""

import numpy as np
import pytest

from diffmusic.audio.resample import resample
from diffmusic.errors import InputError


def sine(hertz: float, rate: int, seconds: float = 0.5, phase: float = 0.3) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate + phase)


@pytest.mark.parametrize("rate", [16000, 22050, 48000])
@pytest.mark.parametrize("hertz", [55.0, 440.0, 3000.0, 6500.0])
def test_a_tone_keeps_amplitude_and_phase(hertz: float, rate: int) -> None:
    resampled = resample(sine(hertz, 44100), 44100, rate, round(0.5 * rate))
    edge = rate // 20
    np.testing.assert_allclose(resampled[edge:-edge], sine(hertz, rate)[edge:-edge], atol=1e-3)


@pytest.mark.parametrize("hertz", [55.0, 440.0, 3000.0, 6500.0])
def test_a_tone_survives_the_round_trip(hertz: float) -> None:
    x = sine(hertz, 44100)
    back = resample(resample(x, 44100, 16000), 16000, 44100, len(x))
    assert len(back) == len(x)
    np.testing.assert_allclose(back[2205:-2205], x[2205:-2205], atol=1e-3)


@pytest.mark.parametrize("hertz", [8200.0, 10000.0, 15000.0, 21000.0])
def test_what_lies_above_the_new_band_leaves_no_alias(hertz: float) -> None:
    resampled = resample(sine(hertz, 44100), 44100, 16000)
    assert np.abs(resampled[800:-800]).max() < 1e-6


@pytest.mark.parametrize(("rate_in", "rate_out"), [(44100, 16000), (16000, 44100), (48000, 16000), (8000, 48000)])
@pytest.mark.parametrize("count", [1, 10, 999, 12345])
def test_the_length_follows_the_rates(rate_in: int, rate_out: int, count: int) -> None:
    resampled = resample(np.ones(count), rate_in, rate_out)
    assert abs(len(resampled) - count * rate_out / rate_in) <= 1


def test_the_length_asked_for_is_given_by_cutting_or_padding_the_end() -> None:
    x = np.random.default_rng(0).standard_normal((2, 4410))
    free = resample(x, 44100, 16000)
    assert free.shape == (2, 1600)
    np.testing.assert_array_equal(resample(x, 44100, 16000, 1500), free[:, :1500])
    np.testing.assert_array_equal(resample(x, 44100, 16000, 1700), np.hstack([free, np.zeros((2, 100))]))
    np.testing.assert_array_equal(resample(x, 16000, 16000, 4412), np.hstack([x, np.zeros((2, 2))]))
    np.testing.assert_array_equal(resample(x, 16000, 16000, 4000), x[:, :4000])


def test_equal_rates_change_nothing() -> None:
    x = np.random.default_rng(0).standard_normal((3, 100))
    np.testing.assert_array_equal(resample(x, 44100, 44100), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_row_is_resampled_alone_whatever_the_layout(dtype: type) -> None:
    x: np.ndarray = np.random.default_rng(0).standard_normal((882, 3, 2)).astype(dtype).T  # strided, as files are read
    resampled = resample(x, 44100, 16000)
    assert resampled.shape == (2, 3, 320)
    assert resampled.dtype == dtype
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(resampled[place], resample(x[place].copy(), 44100, 16000))


def test_what_leaves_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="too short"):
        resample(resample(np.ones((1, 1)), 44100, 16000), 16000, 44100)
