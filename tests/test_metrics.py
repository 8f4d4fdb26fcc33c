"""Metrics against hand-made cases and against other people's arithmetic."""

import math

import numpy as np
import pytest
from scipy.signal import stft

from diffmusic.metrics.lsd import lsd
from diffmusic.metrics.mel_l1 import mel_l1
from diffmusic.metrics.si_sdr import si_sdr
from diffmusic.plugins import registry

RATE = 16000


def noise(seed: int, channels: int = 1, count: int = RATE) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((channels, count))


def scipy_lsd(reference: np.ndarray, estimate: np.ndarray) -> float:
    """The log-spectral distance at 16 kHz from scipy's STFT."""

    def log_spectrum(x: np.ndarray) -> np.ndarray:
        padded = np.pad(x, [(0, 0), (512, 512)], mode="reflect")
        # scipy divides by the sum of its (periodic) Hann window, 512.
        spectrum = 512 * stft(padded, nperseg=1024, noverlap=512, boundary=None, padded=False)[2]
        return np.log10(np.maximum(np.abs(spectrum), 1e-10))

    difference = log_spectrum(reference) - log_spectrum(estimate)  # (channels, bins, frames)
    return float(np.mean(np.sqrt(np.mean(difference**2, axis=1))))


@pytest.mark.parametrize("gain", [0.01, 0.5, 2.0, -3.0])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_lsd_of_a_gain_is_its_logarithm(gain: float, rate: int) -> None:
    x = noise(0, 2, rate)
    assert lsd(x, gain * x, rate) == pytest.approx(abs(math.log10(abs(gain))), rel=1e-9)


def test_lsd_agrees_with_scipy() -> None:
    x, y = noise(1, 2, 10000), noise(2, 2, 10000)
    x[:, 3000:5000] = 0
    assert lsd(x, y, RATE) == pytest.approx(scipy_lsd(x, y), rel=1e-9)
    assert lsd(x, y, RATE) > 0.5


def test_lsd_averages_over_channels_and_frames() -> None:
    x = noise(3, 2)
    y = x * [[10.0], [1.0]]
    assert lsd(x, y, RATE) == pytest.approx(0.5, rel=1e-9)


def test_lsd_floors_silence() -> None:
    # One click at the middle of a frame has a flat spectrum: 10^0 against the floor of 10^-10, in the frames that
    # it is in. At sample 1024 those are frame 2, where the window is 1; frames 1 and 3 have it at their edge.
    click = np.zeros((1, 2048))
    click[0, 1024] = 1
    assert lsd(click, np.zeros((1, 2048)), RATE) == pytest.approx(10 / 5, rel=1e-6)


def test_lsd_is_zero_for_equals_and_the_same_both_ways() -> None:
    x, y = noise(4), noise(5)
    assert lsd(x, x, RATE) == 0
    assert lsd(x, y, RATE) == pytest.approx(lsd(y, x, RATE), rel=1e-12)


@pytest.mark.parametrize("count", [1, 100, 1023])
def test_lsd_of_less_than_a_window_is_that_of_a_window_padded_with_silence(count: int) -> None:
    x, y = noise(6, 1, count), noise(7, 1, count)
    silence = np.zeros((1, 1024 - count))
    assert lsd(x, y, RATE) == pytest.approx(scipy_lsd(np.hstack([x, silence]), np.hstack([y, silence])), rel=1e-9)
    assert lsd(x, y, RATE) > 0


@pytest.mark.parametrize("wanted", [-20.0, 0.0, 13.0, 40.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, -50.0])
def test_si_sdr_of_orthogonal_noise_is_the_ratio_of_powers(wanted: float, scale: float) -> None:
    x, n = noise(0)[0], noise(1)[0]
    n = n - (n @ x) / (x @ x) * x
    n = n * math.sqrt((x @ x) / (n @ n)) * 10 ** (-wanted / 20)
    assert si_sdr(x[None], scale * (x + n)[None], RATE) == pytest.approx(wanted, abs=1e-6)


def test_si_sdr_by_hand() -> None:
    # The estimate (3, 1) has 3 along the reference and 1 across: 10 log10 9.
    assert si_sdr(np.array([[2.0, 0.0]]), np.array([[3.0, 1.0]]), 1) == pytest.approx(10 * math.log10(9))


def test_si_sdr_averages_over_channels_in_db() -> None:
    x = np.array([[1.0, 0.0], [1.0, 0.0]])
    y = np.array([[10.0, 1.0], [1.0, 10.0]])
    assert si_sdr(x, y, 1) == pytest.approx(0, abs=1e-9)


def test_si_sdr_is_limited() -> None:
    x, zero = noise(2), np.zeros((1, RATE))
    assert si_sdr(x, x, RATE) == 100
    assert si_sdr(x, -2 * x, RATE) == 100
    assert si_sdr(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), 1) == -100
    assert si_sdr(zero, x, RATE) == -100
    # Silence is not half as good as the reference.
    assert si_sdr(x, zero, RATE) == -100
    assert si_sdr(zero, zero, RATE) == 100


@pytest.mark.parametrize("gain", [0.1, 0.5, 4.0])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_mel_l1_of_a_gain_is_its_natural_logarithm(gain: float, rate: int) -> None:
    x = noise(0, 2, rate)
    assert mel_l1(x, gain * x, rate) == pytest.approx(abs(math.log(gain)), rel=1e-6)


def test_mel_l1_averages_over_channels_and_knows_a_floor() -> None:
    x = noise(1, 2)
    assert mel_l1(x, x * [[math.e], [1.0]], RATE) == pytest.approx(0.5, rel=1e-6)
    assert mel_l1(1e-9 * x, np.zeros_like(x), RATE) == 0
    assert mel_l1(x, x, RATE) == 0


@pytest.mark.parametrize(("name", "metric"), [("lsd", lsd), ("mel_l1", mel_l1), ("si_sdr", si_sdr)])
def test_the_metrics_are_offered_by_name(name: str, metric: object) -> None:
    assert registry().load("metric", name) is metric
