"""Log-spectral distance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.signal import get_window

from diffmusic.audio.pieces import pieces
from diffmusic.audio.resample import resampled
from diffmusic.audio.signal import Signal
from diffmusic.metrics.contract import streamed

RATE, N_FFT, HOP, FLOOR = 16000, 1024, 512, 1e-10


@streamed
def lsd(reference: Signal, estimate: Signal, sample_rate: int) -> float:
    """Compute the log-spectral distance, lower is better:

        mean_n sqrt(mean_k (log10 |X(n, k)| - log10 |Y(n, k)|)^2)

    Amplitudes at 16 kHz, Hann window of 1024, hop 512, centred frames with reflection, floor 1e-10; the mean over
    channels. reference, estimate: of equal shape. Other papers take the logarithm of the power, which
    doubles the value: see ``lsd_power``.

    Source: the DiffMusic slides and their code.
    """
    spectra = (_spectra(x, sample_rate) for x in (reference, estimate))
    rows = [np.sqrt(np.square(x - y).mean(-1)) for x, y in zip(*spectra, strict=True)]
    return float(np.concatenate(rows, axis=1).mean())


@dataclass(frozen=True)
class _Centred:
    """The frames of ``log_magnitudes``."""

    hop: int = HOP

    def frames(self, samples: int) -> int:
        return max(samples, N_FFT) // self.hop + 1


def _spectra(signal: Signal, sample_rate: int) -> Iterator[np.ndarray]:
    """``log_magnitudes`` at 16 kHz, ``PIECE`` frames at a time."""
    for piece, own in pieces(resampled(signal.blocks(), sample_rate, RATE, np.float64), _Centred(), N_FFT // HOP):
        yield log_magnitudes(piece.numpy(), N_FFT, HOP, FLOOR)[:, own]


def log_magnitudes(x: np.ndarray, n_fft: int, hop: int, floor: float) -> np.ndarray:
    """Compute ``log10 max(|X|, floor)`` of the STFT of (channels, time), (channels, frames, bins).

    Hann window, centred frames with reflection. Audio shorter than a window is padded with silence.
    """
    x = np.pad(x, [(0, 0), (0, max(0, n_fft - x.shape[-1]))])
    x = np.pad(x, [(0, 0), (n_fft // 2, n_fft // 2)], mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(x, n_fft, axis=-1)[:, ::hop]
    return np.log10(np.maximum(np.abs(np.fft.rfft(frames * get_window("hann", n_fft), axis=-1)), floor))
