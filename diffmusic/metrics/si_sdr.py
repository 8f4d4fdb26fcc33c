"""Scale-invariant signal-to-distortion ratio."""

from __future__ import annotations

import numpy as np

from diffmusic.audio.signal import Signal, together
from diffmusic.metrics.contract import streamed


@streamed
def si_sdr(reference: Signal, estimate: Signal, sample_rate: int) -> float:
    """Compute ``10 log10(||a x||^2 / ||a x - y||^2)`` dB with ``a = <x, y> / ||x||^2``, higher is better.

    The mean over channels; limited to [-100, 100] dB, which stand for no likeness (a silent estimate has none) and for
    equality. reference, estimate: of equal shape; means are not removed.

    Source: J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019.
    """
    energy, product, same = 0.0, 0.0, True
    for x, y in together(reference, estimate):
        energy = energy + np.square(x).sum(-1)
        product = product + (x * y).sum(-1)
        same = same & (x == y).all(-1)
    scale = product / np.maximum(energy, 1e-30)
    kept = error = np.zeros(reference.channels)
    for x, y in together(reference, estimate):
        target = scale[:, None] * x
        kept, error = kept + np.square(target).sum(-1), error + np.square(target - y).sum(-1)
    ratio = 10 * np.log10(np.maximum(kept, 1e-30) / np.maximum(error, 1e-30))
    ratio = np.where(kept > 0, ratio, -100)
    ratio = np.where(same, 100, ratio)
    return float(np.clip(ratio, -100, 100).mean())
