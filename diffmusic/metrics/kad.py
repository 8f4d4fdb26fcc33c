"""Kernel audio distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist, pdist

from diffmusic.errors import InputError
from diffmusic.metrics.embeddings import Embedded

SCALE = 100


@dataclass(frozen=True)
class KAD(Embedded):
    """Kernel audio distance, lower is better:

        100 (mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j))

    x, y: embeddings of the reference's and the estimate's windows; ``k(u, v) = exp(-|u - v|^2 / (2 s^2))``, s the
    median distance of two windows of the reference. Unbiased, and so below 0 half of the time where the sets are alike;
    float64.

    Source: Y. Chung et al., "KAD: No More FAD!", arXiv:2502.15602; the factor 100 is its toolkit's.
    """

    def distance(self, reference: np.ndarray, estimate: np.ndarray, /) -> float:
        """Compute the distance of embeddings, (windows, dimensions) each.

        Raises InputError for fewer than two windows of either.
        """
        return kernel_distance(reference, estimate)


def kernel_distance(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Compute ``100 MMD^2`` of embeddings of shape (items, dimensions); see ``KAD``.

    Raises InputError for fewer than two items, for dimensions that differ, and for a reference whose items are equal.
    """
    x, y = (np.asarray(each, dtype=np.float64) for each in (reference, estimate))
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise InputError(f"KAD compares two or more embeddings of equal dimension, not {x.shape} and {y.shape}")
    within = pdist(x)
    width = float(np.median(within))
    if width == 0:
        raise InputError("KAD: most windows of the reference are equal, so that its kernel has no width")

    def kernel(distances: np.ndarray) -> float:
        return float(np.exp(-np.square(distances / width) / 2).mean())

    return SCALE * (kernel(within) + kernel(pdist(y)) - 2 * kernel(cdist(x, y)))
