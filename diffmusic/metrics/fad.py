"""Fréchet distance between two sets of embeddings; of audio embeddings it is the FAD."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffmusic.errors import InputError
from diffmusic.metrics.embeddings import Embedded


@dataclass(frozen=True)
class FAD(Embedded):
    """Fréchet audio distance, lower is better, never negative: ``|m - m'|^2 + tr(C + C' - 2 (C^1/2 C' C^1/2)^1/2)``.

    m and C: mean and covariance (divisor n - 1) of the embeddings of all windows of all recordings. float64; the root
    is that of a symmetric matrix, so that fewer windows than dimensions, where C is singular, are no trouble. It is
    biased upwards, the more the fewer windows there are: compare only equal counts in the same embedding.

    Source: K. Kilgour et al., "Fréchet Audio Distance", Interspeech 2019.
    """

    def distance(self, reference: np.ndarray, estimate: np.ndarray, /) -> float:
        """Compute the distance of embeddings, (windows, dimensions) each.

        Raises InputError for fewer than two windows of either.
        """
        return frechet_distance(reference, estimate)


def frechet_distance(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Compute ``|m - m'|^2 + tr(C + C' - 2 (C^1/2 C' C^1/2)^1/2)`` of embeddings (items, dimensions); see ``FAD``.

    Raises InputError for fewer than two items or for dimensions that differ.
    """
    a, b = (np.asarray(x, dtype=np.float64) for x in (reference, estimate))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise InputError(f"FAD compares two or more embeddings of equal dimension, not {a.shape} and {b.shape}")
    centred = [x - x.mean(0) for x in (a, b)]
    first, second = (x.T @ x / (len(x) - 1) for x in centred)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    distance = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * shared
    return max(0.0, float(distance))
