"""Equalisation: match the spectral balance of a sound to that of an observed one."""

from __future__ import annotations

import numpy as np

LIMIT = 6.0
"""Limit of an equaliser's gain, either way, dB."""
_FRAME = 0.064
_LOWEST = 50.0


def gains(estimate: np.ndarray, observed: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the gains that match two recordings of the same interval, in half-octave bands:

        G(f) = sqrt(P_observed / P_estimate)

    estimate, observed: (time,). Returns the bands' centres in Hz and their gains in dB, within ``LIMIT``. Where the
    estimate is almost empty (above a prior's band) there is nothing to amplify, and the gain is 0 dB.
    """
    frame = round(_FRAME * sample_rate)
    edges = _LOWEST * 2.0 ** (0.5 * np.arange(1 + np.log2(0.5 * sample_rate / _LOWEST) // 0.5))
    hertz = np.fft.rfftfreq(frame, 1 / sample_rate)
    band = np.clip(np.searchsorted(edges, hertz, side="right") - 1, 0, len(edges) - 2)
    powers = [np.bincount(band, _spectrum(x, frame), len(edges) - 1) for x in (estimate, observed)]
    floor = 1e-10 * powers[0].max() + 1e-20
    decibels = 10 * np.log10((powers[1] + floor) / (powers[0] + floor))
    decibels[powers[0] < floor] = 0.0
    return np.sqrt(edges[:-1] * edges[1:]), np.clip(decibels, -LIMIT, LIMIT)


def apply(x: np.ndarray, centres: np.ndarray, decibels: np.ndarray, sample_rate: int) -> np.ndarray:
    """Filter ``x``, (time,), without delay by gains that are interpolated between the bands in log frequency."""
    hertz = np.fft.rfftfreq(len(x), 1 / sample_rate)
    curve = np.interp(np.log(np.maximum(hertz, 1.0)), np.log(centres), decibels)
    return np.fft.irfft(np.fft.rfft(x) * 10 ** (curve / 20), len(x))


def _spectrum(x: np.ndarray, frame: int) -> np.ndarray:
    """Return the mean power spectrum over Hann frames that overlap by half."""
    frames = np.lib.stride_tricks.sliding_window_view(x, frame)[:: frame // 2]
    return np.square(np.abs(np.fft.rfft(frames * np.hanning(frame), axis=-1))).mean(0)
