"""Scale-invariant signal-to-distortion ratio."""

from __future__ import annotations

import numpy as np


def si_sdr(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute ``10 log10(||a x||^2 / ||a x - y||^2)`` dB with ``a = <x, y> / ||x||^2``, higher is better.

    The mean over channels; limited to [-100, 100] dB, which stand for no likeness (a silent estimate has none) and for
    equality. reference, estimate: (channels, time), of equal shape; means are not removed.

    Source: J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019.
    """
    energy = np.square(reference).sum(-1, keepdims=True)
    target = (reference * estimate).sum(-1, keepdims=True) / np.maximum(energy, 1e-30) * reference
    kept, error = np.square(target).sum(-1), np.square(target - estimate).sum(-1)
    ratio = 10 * np.log10(np.maximum(kept, 1e-30) / np.maximum(error, 1e-30))
    ratio = np.where(kept > 0, ratio, -100)
    ratio = np.where((reference == estimate).all(-1), 100, ratio)
    return float(np.clip(ratio, -100, 100).mean())
