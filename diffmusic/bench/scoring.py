"""Metrics of a suite, loaded once in a process, and the scores of one estimate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from diffmusic.bench.damage import Damage
from diffmusic.bench.named import Named
from diffmusic.metrics.contract import Metric, PairMetric, described, is_set, load_metric, measure
from diffmusic.models.load import Access


@lru_cache(maxsize=32)
def _metric(text: str, offline: bool) -> Metric:
    return load_metric(text, Access(offline))


def metric(named: Named, offline: bool = False) -> Metric:
    """Load a metric with what it needs, once in a process."""
    return _metric(str(named), offline)


@lru_cache(maxsize=32)
def _facts(text: str, offline: bool) -> dict[str, Any]:
    """Describe a metric; cached, because it hashes the weights that the metric measures with."""
    return described(_metric(text, offline))


def describe(named: Named, offline: bool = False) -> dict[str, Any]:
    """Return everything that determines the values of a metric."""
    return {"name": str(named), **_facts(str(named), offline)}


def embedding_key(named: Named, offline: bool = False) -> str | None:
    """Return the key of a set metric's embeddings in a record; None for other metrics.

    Metrics with the same embedding share them.
    """
    if not is_set(metric(named, offline)):
        return None
    facts = json.dumps(_facts(str(named), offline), sort_keys=True, default=str)
    return hashlib.sha256(facts.encode()).hexdigest()[:12]


def score(
    metrics: Sequence[Named],
    clean: np.ndarray,
    estimate: np.ndarray,
    rate: int,
    prompt: str | None,
    damage: Damage | None = None,
    offline: bool = False,
) -> dict[str, Any]:
    """Score an estimate, (channels, time), with every metric; for metrics of sets, embed each source."""
    sources = damage.sources if damage else 1
    stretches = damage.stretches(clean.shape[-1]) if damage else None
    values: dict[str, Any] = {}
    embeddings: dict[str | None, Any] = {}
    for named in metrics:
        made = metric(named, offline)
        if is_set(made):
            where = embedding_key(named, offline)
            if where not in embeddings:
                windows = np.concatenate([made.embed(part, rate) for part in np.split(estimate, sources)])
                embeddings[where] = [[float(f"{value:.7g}") for value in row] for row in windows]
        elif isinstance(made, PairMetric):
            values[str(named)] = measure(made, clean, estimate, rate, prompt, stretches)
    return {"scores": values, "embeddings": embeddings}
