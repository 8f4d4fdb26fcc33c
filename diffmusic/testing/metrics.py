"""What every metric is held to, of pairs and of sets."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from diffmusic.metrics.contract import PairMetric, SetMetric, is_set, measure, takes_prompt
from diffmusic.testing.checks import RATE, Check

PROMPT = "a sine tone with noise"
SHAPES = ((1, 400, 8000), (2, 4000, 44100), (5, 2000, 48000))
ITEMS = 16
"""Recordings of a set: as many as an extrapolation over its size needs."""


def metric_checks(metric: Any) -> list[Check]:
    """The checks of a metric as ``diffmusic.metrics.contract`` describes it."""
    if is_set(metric):
        return [_embeddings, _pure_embedding, _any_length, _distances, _described]
    # What a text says of a recording does not fade with the first noise.
    return [_number, _pure_metric, *([] if takes_prompt(metric) else [_ordered]), _any_shape]


def _pair(
    channels: int = 1, samples: int = RATE, error: float = 0.1, rate: int = RATE, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    tone = np.sin(np.arange(samples) * 2 * np.pi * 440 * (1 + 0.1 * seed) / rate)
    clean = 0.2 * tone + 0.02 * rng.standard_normal((channels, samples))
    return clean, clean + error * rng.standard_normal(clean.shape)


def _value(metric: PairMetric, pair: tuple[np.ndarray, np.ndarray], rate: int = RATE) -> float:
    value = measure(metric, *pair, rate, PROMPT)
    assert isinstance(value, float | int), f"it gives a {type(value).__name__}, not a number"
    return value


def _number(metric: Any) -> str:
    value = _value(metric, _pair())
    assert math.isfinite(value), f"it gives {value} for noisy audio"
    return f"{value:.4g} for audio with noise at -20 dBFS"


def _pure_metric(metric: Any) -> str:
    clean, noisy = _pair()
    kept = clean.copy(), noisy.copy()
    first, again = (_value(metric, (clean, noisy)) for _ in range(2))
    assert first == again, f"two calls give {first:.6g} and {again:.6g}"
    assert np.array_equal(clean, kept[0]), "it changed the reference"
    assert np.array_equal(noisy, kept[1]), "it changed the estimate"
    return "repeatable, inputs unchanged"


def _ordered(metric: Any) -> str:
    values = [_value(metric, _pair(error=error)) for error in (0.001, 0.01, 0.1)]
    text = ", ".join(f"{value:.4g}" for value in values)
    assert values in (sorted(values), sorted(values, reverse=True)), f"more noise is not steadily worse: {text}"
    assert values[0] != values[-1], f"it does not tell little noise from much: {text}"
    return f"{text} as the noise grows"


def _any_shape(metric: Any) -> str:
    for channels, samples, rate in SHAPES:
        value = _value(metric, _pair(channels, samples, rate=rate), rate)
        assert not math.isnan(value), f"{channels} channels of {samples} samples at {rate} Hz give NaN"
    return "1 to 5 channels, 400 samples and more, 8 to 48 kHz"


def _embedded(metric: SetMetric, audio: np.ndarray, rate: int = RATE) -> np.ndarray:
    vectors = metric.embed(audio, rate)
    assert isinstance(vectors, np.ndarray), f"embed gives a {type(vectors).__name__}, not an array"
    assert vectors.ndim == 2, f"embed gives the shape {vectors.shape}, not (windows, dimensions)"
    assert len(vectors), "embed gives no window"
    assert vectors.dtype == np.float64, f"embed gives {vectors.dtype}, not float64"
    assert np.isfinite(vectors).all(), "embed gives what is not finite"
    return vectors


def _embeddings(metric: SetMetric) -> str:
    windows, dimensions = _embedded(metric, _pair()[0]).shape
    return f"{windows} x {dimensions} for a second"


def _pure_embedding(metric: SetMetric) -> str:
    clean = _pair()[0]
    kept = clean.copy()
    first, again = _embedded(metric, clean), _embedded(metric, clean)
    assert np.array_equal(first, again), f"two calls differ by {np.abs(first - again).max():.1e}"
    assert np.array_equal(clean, kept), "it changed the audio"
    return "repeatable, input unchanged"


def _any_length(metric: SetMetric) -> str:
    dimensions = {
        _embedded(metric, _pair(channels, samples, rate=rate)[0], rate).shape[1] for channels, samples, rate in SHAPES
    }
    assert len(dimensions) == 1, f"the number of dimensions depends on the audio: {sorted(dimensions)}"
    return "1 to 5 channels, 400 samples and more, 8 to 48 kHz"


def _distances(metric: SetMetric) -> str:
    def several(error: float, first: int) -> np.ndarray:
        pairs = (_pair(error=error, seed=seed) for seed in range(first, first + ITEMS))
        return np.concatenate([_embedded(metric, noisy) for _, noisy in pairs])

    reference = several(0.0, 0)
    values = [metric.distance(reference, several(error, ITEMS)) for error in (0.001, 0.03, 0.3)]
    text = ", ".join(f"{value:.4g}" for value in values)
    assert all(map(math.isfinite, values)), f"distances are not finite: {text}"
    assert values in (sorted(values), sorted(values, reverse=True)), f"more noise is not steadily worse: {text}"
    assert values[0] != values[-1], f"it does not tell little noise from much: {text}"
    return f"{text} as the noise grows"


def _described(metric: SetMetric) -> str:
    described = metric.describe()
    json.dumps(described)
    missing = [key for key in ("embedding", "sha256") if key not in described]
    assert not missing, f"describe() lacks {' and '.join(missing)}: a number means nothing without"
    return f"{described['embedding']} {str(described['sha256'])[:12]}"
