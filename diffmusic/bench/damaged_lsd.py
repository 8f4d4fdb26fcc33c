"""LSD of the part that was damaged: within the gaps, or above the band that was measured."""

from __future__ import annotations

import numpy as np

from diffmusic.audio.resample import resample
from diffmusic.metrics.contract import measure_damage
from diffmusic.metrics.lsd import FLOOR, HOP, N_FFT, RATE, log_magnitudes, lsd
from diffmusic.problem.bound import BoundOperator


def damaged_lsd(bound: BoundOperator, reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float | None:
    """LSD over the stretches that its operator names, their mean weighted by length; or, where it measures audio
    at a lower rate, over the bins above that band, ``mean_n sqrt(mean_k>K (log10 |X| - log10 |Y|)^2)``.

    None where an operator has neither. reference, estimate: (channels, time).
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
