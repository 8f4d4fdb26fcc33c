"""Signal-to-distortion ratio of BSS Eval v4."""

from __future__ import annotations

import math

import numpy as np


def sdr(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute the signal-to-distortion ratio of BSS Eval v4 over windows ``w`` of one second, dB, higher is better:

        median_w 10 log10(||x_w||^2 / ||x_w - y_w||^2)

    As museval reports it for a track: all channels of a source together, no filter allowed; a window where reference or
    estimate is silent is skipped, and so is the rest after the last whole window. A recording of less than a window is
    one. Limited to 100 dB; NaN where there is no window to measure. reference, estimate: (channels, time), of equal
    shape.

    Source: A. Liutkus et al., "The 2018 signal separation evaluation campaign", LVA/ICA 2018; in it SDR is the one of
    four measures that needs no distortion filters.
    """
    length = reference.shape[-1]
    width = min(sample_rate, length)
    values = []
    for start in range(0, length - width + 1, width):
        x, y = (each[:, start : start + width].astype(np.float64) for each in (reference, estimate))
        energy, error = float(np.square(x).sum()), float(np.square(x - y).sum())
        if x.any() and y.any():
            values.append(100.0 if error <= 1e-10 * energy else 10 * math.log10(energy / error))
    return float(np.median(values)) if values else math.nan
