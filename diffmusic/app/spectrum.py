"""Spectra for pictures: power of Hann windows, on rows that are even in mel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.fft import rfft
from scipy.sparse import csr_array

ROWS = 256
"""Rows of a spectrogram, from 0 Hz to half the rate."""
FLOOR = -120.0
"""dB of full scale that is coded as 0."""
STEP = 0.5
"""dB between two codes."""


def mel(hz: np.ndarray | float) -> np.ndarray:
    """Mel of a frequency, ``2595 log10(1 + f / 700)``. The page has the same formula."""
    return 2595 * np.log10(1 + np.asarray(hz) / 700)


def hertz(mels: np.ndarray | float) -> np.ndarray:
    """Frequency of a mel, Hz."""
    return 700 * (10 ** (np.asarray(mels) / 2595) - 1)


@dataclass(frozen=True)
class Spectrum:
    """Spectrum of windows of ``size`` samples at a rate.

    Attributes:
        size: Samples of a window.
        window: Hann window, whose sine of full scale has power 1.
        rows: (ROWS, bins), sparse: triangles, even in mel and one bin wide at least, which sum to 1.
        weights: (bins,): K-weighting (ITU-R BS.1770), from power of bins to mean square.
    """

    size: int
    window: np.ndarray
    rows: csr_array
    weights: np.ndarray

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, size: int, rate: int) -> Spectrum:
        """Build the spectrum of a size at a rate, Hz."""
        window = np.hanning(size + 1)[:-1].astype(np.float32)
        bins = np.arange(size // 2 + 1) * rate / size
        edges = hertz(np.linspace(0, mel(rate / 2), ROWS))
        width = np.maximum(np.gradient(edges), rate / size)
        rows = np.maximum(0, 1 - np.abs(bins[:, None] - edges[None]) / width[None])
        # A sine of full scale has power 1.5 over the bins of a Hann window, and a mean square of 1/2.
        weights = _k_weighting(bins) / 3
        rows = csr_array((rows / rows.sum(0)).T.astype(np.float32))
        return cls(size, 2 * window / window.sum(), rows, weights.astype(np.float32))

    def power(self, audio: np.ndarray, hop: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Power of ``count`` windows, averaged over channels and in rows, (count, ROWS), and their K-weighted mean
        square, summed over channels, (count,).

        Args:
            audio: (channels, time), float32; window k begins at sample ``k * hop``.
            hop: Samples from one window to the next.
            count: Number of windows.
        """
        missing = (count - 1) * hop + self.size - audio.shape[-1]
        if missing > 0:
            audio = np.pad(audio, ((0, 0), (0, missing)))
        total, energy = np.zeros((count, ROWS), np.float32), np.zeros(count, np.float32)
        views = [np.lib.stride_tricks.sliding_window_view(each, self.size)[::hop] for each in audio]
        for begin in range(0, count, 64):
            found = np.zeros((min(64, count - begin), self.size // 2 + 1), np.float32)
            for frames in views:
                bins = rfft(frames[begin : begin + len(found)] * self.window)
                found += bins.real**2 + bins.imag**2
            total[begin : begin + 64] = (self.rows @ found.T).T
            energy[begin : begin + 64] = found @ self.weights
        return total / len(audio), energy

    def coded(self, power: np.ndarray) -> np.ndarray:
        """Power as codes, ``(dB - FLOOR) / STEP``, uint8."""
        levels = 10 * np.log10(np.maximum(power, 1e-13))
        return np.clip((levels - FLOOR) / STEP, 0, 255).astype(np.uint8)


def _k_weighting(hz: np.ndarray) -> np.ndarray:
    """Squared magnitude of the K-weighting filter, from its analogue prototypes (ITU-R BS.1770-5, annex 1)."""
    s = 2j * np.pi * hz
    w, q, high, band = 2 * np.pi * 1681.9744509555319, 0.7071752369554193, 1.5848647011308556, 1.2587209302325618
    shelf = (high * s**2 + band * s * w / q + w**2) / (s**2 + s * w / q + w**2)
    low, q = 2 * np.pi * 38.13547087602444, 0.5003270373238773
    cut = s**2 / (s**2 + s * low / q + low**2)
    return np.abs(shelf * cut) ** 2
