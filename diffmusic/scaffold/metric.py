"""Error of an estimate."""

from __future__ import annotations

import numpy as np


def placeholder(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute ``10 log10(||estimate - reference||^2 / ||reference||^2)``, dB. Shapes: (channels, time), both."""
    error = float(np.square(estimate - reference).sum())
    return float(10 * np.log10(max(error, 1e-20) / max(float(np.square(reference).sum()), 1e-20)))
