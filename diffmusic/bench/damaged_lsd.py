"""LSD of the damaged part: within the gaps, or above the measured band."""

from __future__ import annotations

import numpy as np

from diffmusic.audio.resample import resample
from diffmusic.metrics.contract import measure_damage
from diffmusic.metrics.lsd import FLOOR, HOP, N_FFT, RATE, log_magnitudes, lsd
from diffmusic.problem.bound import BoundOperator


def damaged_lsd(bound: BoundOperator, reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float | None:
    """Return the LSD over the damaged part, or None for an operator without one.

    Over the intervals that the operator names it is their mean, weighted by length; where the operator measures at a
    lower rate, with ``K`` the last bin of the measured band:

        mean_n sqrt(mean_k>K (log10 |X| - log10 |Y|)^2)

    Args:
        reference: (channels, time).
        estimate: (channels, time).
    """
    if bound.has_place:
        return measure_damage(lsd, reference, estimate, sample_rate, bound.spans(reference.shape[-1]))
    measured = bound.measured_rate
    if bound.spectrogram is not None or measured >= min(sample_rate, RATE):
        return None
    above = N_FFT * measured // (2 * RATE) + 1
    spectra = [
        log_magnitudes(resample(x, sample_rate, RATE), N_FFT, HOP, FLOOR)[..., above:] for x in (reference, estimate)
    ]
    return float(np.sqrt(np.square(spectra[0] - spectra[1]).mean(-1)).mean())
