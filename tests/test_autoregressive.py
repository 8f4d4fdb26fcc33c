"""Linear prediction: ringing goes on, noise fades, and nothing ever grows without bound."""

import numpy as np
import pytest
from scipy.signal import lfilter

from diffmusic.audio.linear_prediction import bridge, extrapolate

RATE = 16000
TIME = np.arange(RATE) / RATE
PARTIALS = ((440.0, 0.3, 0.1), (1234.5, 0.2, 1.0), (3000.0, 0.1, 2.0))


def sinusoids() -> np.ndarray:
    return np.sum([level * np.sin(2 * np.pi * hertz * TIME + phase) for hertz, level, phase in PARTIALS], axis=0)


def quantised(x: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(x * 2.0 ** (bits - 1)) / 2.0 ** (bits - 1)


@pytest.mark.parametrize("context", [800, 1600, 4000])
@pytest.mark.parametrize("order", [64, 256, 512])
@pytest.mark.parametrize("bits", [16, 24, 64])
def test_a_sum_of_sinusoids_is_continued(context: int, order: int, bits: int) -> None:
    clean = sinusoids()
    known = quantised(clean, bits) if bits < 64 else clean
    continued = extrapolate(known[1000 : 1000 + context], 320, order)
    truth = clean[1000 + context : 1320 + context]
    assert np.abs(continued - truth).max() < 0.02 * np.abs(truth).max()


def test_a_single_precision_synthetic_tone_is_continued() -> None:
    # Its rounding errors are no noise to fit a stable model to.
    tone = sinusoids().astype(np.float32).astype(np.float64)
    continued = extrapolate(tone[:4000], 320, 256)
    assert np.abs(continued - sinusoids()[4000:4320]).max() < 1e-3


def test_a_decaying_tone_decays_on() -> None:
    x = np.exp(-20 * TIME) * np.sin(2 * np.pi * 500 * TIME)
    continued = extrapolate(x[:1600], 320, 256)
    np.testing.assert_allclose(continued, x[1600:1920], atol=0.02 * np.abs(x[1600:1920]).max())


def test_the_coefficients_of_a_known_process_are_found() -> None:
    # x[n] = 1.6 x[n-1] - 0.9 x[n-2] + e[n]; without e, it continues by the recursion alone.
    a = np.array([1.0, -1.6, 0.9])
    x = lfilter([1.0], a, np.random.default_rng(0).standard_normal(20000))
    expected = [x[-2], x[-1]]
    for _ in range(10):
        expected.append(1.6 * expected[-1] - 0.9 * expected[-2])
    np.testing.assert_allclose(extrapolate(x, 10, 2), expected[2:], atol=0.05 * x.std())


@pytest.mark.parametrize("count", [20, 100, 1600, 4000])
def test_noise_decays_and_does_not_blow_up(count: int) -> None:
    noise = np.random.default_rng(count).standard_normal(count)
    continued = extrapolate(noise, 20000, 256)
    assert np.abs(continued).max() < 2 * np.abs(noise).max()
    assert np.abs(continued[-1000:]).max() < 1e-3


@pytest.mark.parametrize(
    "x",
    [
        sinusoids(),
        np.sin(2 * np.pi * 440 * TIME),
        np.exp(5 * TIME) * np.sin(2 * np.pi * 440 * TIME),
        1e-6 * sinusoids(),
        np.ones(RATE),
        np.sign(np.sin(2 * np.pi * 100 * TIME + 0.1)),
        np.eye(1, RATE, 1150)[0],
    ],
    ids=["sinusoids", "sine", "growing", "quiet", "constant", "square", "impulse"],
)
@pytest.mark.parametrize("context", [3, 10, 200, 1600, 4000])
@pytest.mark.parametrize("order", [1, 64, 512])
def test_three_seconds_of_continuation_stay_bounded(x: np.ndarray, context: int, order: int) -> None:
    known = x[1000 : 1000 + context]
    continued = extrapolate(known, 3 * RATE, order)
    assert np.isfinite(continued).all()
    assert np.abs(continued).max() <= 4 * np.abs(known).max()


@pytest.mark.parametrize("context", [np.zeros(1000), np.full(1000, 1e-13), np.ones(2), np.ones(1), np.ones(0)])
def test_silence_and_contexts_too_short_to_model_continue_as_zeros(context: np.ndarray) -> None:
    np.testing.assert_array_equal(extrapolate(context, 7, 256), np.zeros(7))


def test_the_continuation_is_linear_in_the_level() -> None:
    x = np.random.default_rng(3).standard_normal(500)
    np.testing.assert_allclose(extrapolate(1e-3 * x, 50, 30), 1e-3 * extrapolate(x, 50, 30), rtol=1e-9)


def test_a_context_is_not_changed() -> None:
    x = sinusoids()[:800]
    before = x.copy()
    extrapolate(x, 100, 64)
    np.testing.assert_array_equal(x, before)


def test_bridge_restores_a_gap_in_a_sum_of_sinusoids() -> None:
    x = sinusoids()
    filled = bridge(x[2000:6000], x[6800:10800], 800, 256)
    assert np.abs(filled - x[6000:6800]).max() < 1e-3


def test_bridge_uses_one_side_where_the_other_is_empty() -> None:
    x, none = sinusoids(), np.zeros(0)
    np.testing.assert_array_equal(bridge(x[:4000], none, 100, 64), extrapolate(x[:4000], 100, 64))
    np.testing.assert_allclose(bridge(none, x[100:4100], 100, 64), x[:100], atol=1e-3)
    np.testing.assert_array_equal(bridge(none, none, 5, 64), np.zeros(5))


def test_bridge_fades_from_the_left_side_to_the_right_one() -> None:
    # Constants continue as themselves, so the fade shows: 1 to -1, through 0 in the middle.
    filled = bridge(np.ones(300), -np.ones(300), 101, 8)
    assert filled[0] == pytest.approx(1, abs=1e-3)
    assert filled[50] == pytest.approx(0, abs=1e-6)
    assert filled[-1] == pytest.approx(-1, abs=1e-3)
    assert (np.diff(filled) < 0).all()
