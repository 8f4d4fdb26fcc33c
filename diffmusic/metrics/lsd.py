"""Log-spectral distance."""

from __future__ import annotations

import numpy as np
from scipy.signal import get_window

from diffmusic.audio.resample import resample

RATE, N_FFT, HOP, FLOOR = 16000, 1024, 512, 1e-10


def lsd(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute the log-spectral distance, lower is better:

        mean_n sqrt(mean_k (log10 |X(n, k)| - log10 |Y(n, k)|)^2)

    Amplitudes at 16 kHz, Hann window of 1024, hop 512, centred frames with reflection, floor 1e-10; the mean over
    channels. reference, estimate: (channels, time), of equal shape. Other papers take the logarithm of the power, which
    doubles the value: see ``lsd_power``.

    Source: the DiffMusic slides and their code.
    """
    spectra = [log_magnitudes(resample(x, sample_rate, RATE), N_FFT, HOP, FLOOR) for x in (reference, estimate)]
    return float(np.sqrt(np.square(spectra[0] - spectra[1]).mean(-1)).mean())


def log_magnitudes(x: np.ndarray, n_fft: int, hop: int, floor: float) -> np.ndarray:
    """Compute ``log10 max(|X|, floor)`` of the STFT of (channels, time), (channels, frames, bins).

    Hann window, centred frames with reflection. Audio shorter than a window is padded with silence.
    """
    x = np.pad(x, [(0, 0), (0, max(0, n_fft - x.shape[-1]))])
    x = np.pad(x, [(0, 0), (n_fft // 2, n_fft // 2)], mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(x, n_fft, axis=-1)[:, ::hop]
    return np.log10(np.maximum(np.abs(np.fft.rfft(frames * get_window("hann", n_fft), axis=-1)), floor))
