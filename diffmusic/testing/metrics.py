"""What every metric is held to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from diffmusic.testing.checks import RATE, Check


def metric_checks(metric: Any) -> list[Check]:
    """The checks of a metric, a callable ``(reference, estimate, sample_rate) -> float``."""
    return [_number, _pure_metric, _ordered, _any_shape]


def _pair(
    channels: int = 1, samples: int = RATE, error: float = 0.1, rate: int = RATE
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    clean = 0.2 * np.sin(np.arange(samples) * 2 * np.pi * 440 / rate) + 0.02 * rng.standard_normal((channels, samples))
    return clean, clean + error * rng.standard_normal(clean.shape)


def _number(metric: Any) -> str:
    value = metric(*_pair(), RATE)
    assert isinstance(value, float | int), f"it gives a {type(value).__name__}, not a number"
    assert math.isfinite(value), f"it gives {value} for noisy audio"
    return f"{value:.4g} for audio with noise at -20 dBFS"


def _pure_metric(metric: Any) -> str:
    clean, noisy = _pair()
    kept = clean.copy(), noisy.copy()
    first, again = metric(clean, noisy, RATE), metric(clean, noisy, RATE)
    assert first == again, f"two calls give {first:.6g} and {again:.6g}"
    assert np.array_equal(clean, kept[0]), "it changed the reference"
    assert np.array_equal(noisy, kept[1]), "it changed the estimate"
    return "repeatable, inputs unchanged"


def _ordered(metric: Any) -> str:
    values = [metric(*_pair(error=error), RATE) for error in (0.001, 0.01, 0.1)]
    text = ", ".join(f"{value:.4g}" for value in values)
    assert values in (sorted(values), sorted(values, reverse=True)), f"more noise is not steadily worse: {text}"
    assert values[0] != values[-1], f"it does not tell little noise from much: {text}"
    return f"{text} as the noise grows"


def _any_shape(metric: Any) -> str:
    for channels, samples, rate in ((1, 400, 8000), (2, 4000, 44100), (5, 2000, 48000)):
        value = metric(*_pair(channels, samples, rate=rate), rate)
        assert not math.isnan(value), f"{channels} channels of {samples} samples at {rate} Hz give NaN"
    return "1 to 5 channels, 400 samples and more, 8 to 48 kHz"
