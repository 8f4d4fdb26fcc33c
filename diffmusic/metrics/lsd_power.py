"""Log-spectral distance of powers."""

from __future__ import annotations

import numpy as np

from diffmusic.metrics.lsd import log_magnitudes


def lsd_power(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute the log-spectral distance of powers, lower is better:

        mean_n sqrt(mean_k (log10 |X(n, k)|^2 - log10 |Y(n, k)|^2)^2)

    Powers at the recordings' own rate, Hann window of 2048 / 44100 s, hop of 10 ms, centred frames with reflection,
    floor 1e-12; the mean over channels. reference, estimate: (channels, time), of equal shape. The rate decides which
    bins there are: compare recordings of one rate only.

    Source: the definition and the settings of ssr_eval, as used by H. Liu et al., "AudioSR", arXiv:2309.07314. Their
    floors, which differ between the two sides, are one here.
    """
    n_fft, hop = int(2048 * sample_rate / 44100), sample_rate // 100
    powers = [2 * log_magnitudes(x, n_fft, hop, 1e-6) for x in (reference, estimate)]
    return float(np.sqrt(np.square(powers[0] - powers[1]).mean(-1)).mean())
