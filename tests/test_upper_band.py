"""Above the prior's band: what is copied up has the level of the surroundings, and nothing else changes."""

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from diffmusic.audio.upper_band import _frames, _joined, extend

RATE, NYQUIST = 44100, 8000.0


def noise(seconds: float = 3.0, slope: float = 0.0) -> np.ndarray:
    """Gaussian noise whose spectrum falls by ``slope`` dB an octave."""
    white = np.random.default_rng(0).standard_normal(round(seconds * RATE))
    hertz = np.fft.rfftfreq(len(white), 1 / RATE)
    return 0.1 * np.fft.irfft(np.fft.rfft(white) * np.maximum(hertz / 1000, 0.05) ** (-slope / 6.02), len(white))


def low(x: np.ndarray) -> np.ndarray:
    return sosfiltfilt(butter(8, NYQUIST, fs=RATE, output="sos"), x)


def level(x: np.ndarray, low: float, high: float) -> float:
    power = np.square(np.abs(np.fft.rfft(x * np.hanning(len(x)))))
    hertz = np.fft.rfftfreq(len(x), 1 / RATE)
    return float(10 * np.log10(power[(hertz >= low) & (hertz < high)].sum()))


def test_frames_go_back_to_the_sound() -> None:
    x = noise(0.5)
    np.testing.assert_allclose(_joined(_frames(x, 1024, 256), 1024, 256, len(x)), x, atol=1e-12)


@pytest.mark.parametrize("slope", [0.0, 6.0, 12.0])
def test_the_upper_band_has_the_level_of_the_surroundings(slope: float) -> None:
    truth = noise(slope=slope)
    observed, gap = truth.copy(), slice(RATE, 2 * RATE)
    observed[gap] = 0
    made = extend(low(truth), observed, [(RATE, 2 * RATE)], NYQUIST, RATE)
    for first, last in ((9000, 12000), (12000, 16000), (16000, 20000)):
        assert level(made[gap], first, last) == pytest.approx(level(truth[gap], first, last), abs=1.5)
    # Below the edge nothing is changed.
    assert level(made[gap] - low(truth)[gap], 0, 7000) < level(truth[gap], 0, 7000) - 40


@pytest.mark.parametrize("gap", [0.2, 1.0])
def test_a_tone_with_nothing_below_it_goes_on(gap: float) -> None:
    time = np.arange(3 * RATE) / RATE
    tone = 0.02 * np.sin(2 * np.pi * 20000 * time)
    music = sosfiltfilt(butter(8, 1000, fs=RATE, output="sos"), noise())
    observed, lost = music + tone, (RATE, RATE + round(gap * RATE))
    observed[slice(*lost)] = 0
    made = extend(music, observed, [lost], NYQUIST, RATE)
    inside = slice(lost[0] + 2000, lost[1] - 2000)
    assert level(made[inside], 19500, 20500) == pytest.approx(level(tone[inside], 19500, 20500), abs=3)
    assert level(made[inside], 9000, 19000) < level(tone[inside], 19500, 20500) - 20


def test_a_silent_upper_band_stays_silent() -> None:
    truth = low(low(noise()))
    made = extend(truth, truth, [(RATE, 2 * RATE)], NYQUIST, RATE)
    assert level(made[RATE : 2 * RATE], 12000, 20000) < level(truth[RATE : 2 * RATE], 0, 8000) - 45


def test_it_rises_and_falls_with_the_estimate() -> None:
    truth = noise()
    estimate = low(truth)
    estimate[RATE : RATE + RATE // 2] = 0
    made = extend(estimate, truth, [(RATE, 2 * RATE)], NYQUIST, RATE)
    assert (
        level(made[RATE + 2000 : RATE + 20000], 9000, 20000)
        < level(made[RATE + 24000 : 2 * RATE - 2000], 9000, 20000) - 40
    )


def test_a_tone_moves_by_whole_octave_halves_without_breaking_up() -> None:
    """A steady partial moved up is a steady partial: the modulation is exact."""
    size = 1024
    hertz = 5000.0
    edge = int(0.95 * NYQUIST * size / RATE)
    tone = np.sin(2 * np.pi * hertz * np.arange(3 * RATE) / RATE)
    made = (
        extend(tone, tone + 0.1 * noise(), [(RATE, 2 * RATE)], NYQUIST, RATE)[RATE : 2 * RATE] - tone[RATE : 2 * RATE]
    )
    power = np.square(np.abs(np.fft.rfft(made * np.hanning(RATE))))
    expected = hertz + (edge - edge // 2) * RATE / size
    peak = np.abs(np.fft.rfftfreq(RATE, 1 / RATE) - expected) < 5
    near = np.abs(np.fft.rfftfreq(RATE, 1 / RATE) - expected) < 600
    assert power[peak].sum() > 0.99 * power[near].sum()


@pytest.mark.parametrize(
    ("length", "lost", "rate"),
    [(500, [(100, 200)], 44100), (9000, [(0, 9000)], 44100), (9000, [], 44100)],
)
def test_where_nothing_tells_the_level_nothing_is_added(length: int, lost: list[tuple[int, int]], rate: int) -> None:
    x = noise(1.0)[:length]
    assert np.array_equal(extend(x, x, lost, NYQUIST, rate), x)
