"""Contract checks for metrics of pairs and of sets."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np

from diffmusic.metrics.contract import PairMetric, SetMetric, is_set, measure, takes_damage, takes_prompt
from diffmusic.metrics.embeddings import Embedding
from diffmusic.metrics.fad import frechet_distance
from diffmusic.testing.checks import RATE, Check, HasProbe

PROMPT = "a sine tone with noise"
SHAPES = ((1, 400, 8000), (2, 4000, 44100), (5, 2000, 48000))
ITEMS = 16
"""Recordings in a set: as many as an extrapolation over its size needs."""


def metric_checks(metric: Any) -> list[Check]:
    """Return the checks of a metric as ``diffmusic.metrics.contract`` describes it."""
    if is_set(metric):
        return [_embeddings, _pure_embedding, _any_length, _distances, _described]
    # A match with a prompt does not fade with the first noise.
    ordered = [] if takes_prompt(metric) else [_ordered]
    return [_number, _pure_metric, *ordered, *([_whole] if takes_damage(metric) else []), _any_shape]


@dataclass(frozen=True)
class _Frechet:
    """Fréchet distance in an embedding."""

    embedding: Embedding

    def embed(self, audio: np.ndarray, sample_rate: int, /) -> np.ndarray:
        return self.embedding.audio(audio, sample_rate).astype(np.float64)

    def distance(self, reference: np.ndarray, estimate: np.ndarray, /) -> float:
        return frechet_distance(reference, estimate)

    def describe(self) -> dict[str, Any]:
        return self.embedding.describe()


def embedding_checks(embedding: Embedding) -> list[Check]:
    """Return the checks of an embedding: those of the Fréchet distance in it, of recordings to noisy ones."""
    metric = _Frechet(embedding)
    checks = [_embeddings, _pure_embedding, _any_length, _apart, _described]

    def within(check: Check) -> Check:
        @wraps(check)
        def checked(_: Any) -> str:
            return check(metric)

        return checked

    return [within(check) for check in checks]


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


def _probe(metric: Any) -> tuple[np.ndarray, Sequence[np.ndarray], int]:
    """Return a reference, estimates from good to bad, and their rate.

    They are the metric's own if it has any, else a noisy tone.
    """
    if isinstance(metric, HasProbe):
        return metric.probe()  # type: ignore[no-any-return]
    pairs = [_pair(error=error) for error in (0.001, 0.01, 0.1)]
    return pairs[0][0], [noisy for _, noisy in pairs], RATE


def _number(metric: Any) -> str:
    reference, estimates, rate = _probe(metric)
    value = _value(metric, (reference, estimates[-1]), rate)
    assert math.isfinite(value), f"it gives {value} for a bad estimate"
    return f"{value:.4g} for {'its worst estimate' if isinstance(metric, HasProbe) else 'audio with noise at -20 dBFS'}"


def _pure_metric(metric: Any) -> str:
    reference, estimates, rate = _probe(metric)
    pair = reference, estimates[-1]
    kept = [x.copy() for x in pair]
    first, again = (_value(metric, pair, rate) for _ in range(2))
    assert first == again, f"two calls give {first:.6g} and {again:.6g}"
    assert np.array_equal(pair[0], kept[0]), "it changed the reference"
    assert np.array_equal(pair[1], kept[1]), "it changed the estimate"
    return "repeatable, inputs unchanged"


def _ordered(metric: Any) -> str:
    reference, estimates, rate = _probe(metric)
    values = [_value(metric, (reference, estimate), rate) for estimate in estimates]
    text = ", ".join(f"{value:.4g}" for value in values)
    own = isinstance(metric, HasProbe)
    worse, extremes = ("a worse estimate", "good from bad") if own else ("more noise", "little noise from much")
    assert values in (sorted(values), sorted(values, reverse=True)), f"{worse} is not steadily worse: {text}"
    assert values[0] != values[-1], f"it does not tell {extremes}: {text}"
    return f"{text} {'from good to bad' if own else 'as the noise grows'}"


def _whole(metric: Any) -> str:
    reference, estimates, rate = _probe(metric)
    pair, length = (reference, estimates[len(estimates) // 2]), reference.shape[-1]
    value, told = (measure(metric, *pair, rate, PROMPT, damage) for damage in (None, [(0, length)]))
    assert value == told, f"it gives {value} without damage, and {told} where all of it is damage"
    return f"{value:.4g} for the whole, told so or not"


def _any_shape(metric: Any) -> str:
    for channels, samples, rate in SHAPES:
        value = _value(metric, _pair(channels, samples, rate=rate), rate)
        # This audio may hold nothing that a metric with its own probe audio measures.
        silent = math.isnan(value) and not isinstance(metric, HasProbe)
        assert not silent, f"{channels} channels of {samples} samples at {rate} Hz give NaN"
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
    return _ordered_distances(metric, ITEMS)


def _apart(metric: SetMetric) -> str:
    return _ordered_distances(metric, 0)


def _ordered_distances(metric: SetMetric, first: int) -> str:
    """Compare distances of clean recordings to noisy ones, the first of which is that of the seed ``first``."""

    def several(error: float, first: int) -> np.ndarray:
        pairs = (_pair(error=error, seed=seed) for seed in range(first, first + ITEMS))
        return np.concatenate([_embedded(metric, noisy) for _, noisy in pairs])

    reference = several(0.0, 0)
    values = [metric.distance(reference, several(error, first)) for error in (0.001, 0.03, 0.3)]
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
