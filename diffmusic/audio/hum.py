"""Hum: the harmonics of the mains, fitted and taken off."""

from __future__ import annotations

import numpy as np

HIGHEST = 1000.0
"""Hz: what hum there is above is left."""
_WINDOW = 1.0  # seconds
_ASTRAY = np.linspace(-0.004, 0.004, 33)  # relative; how far the mains' frequency, or a tape's speed, may be off
_STEADY = 1.2  # times what a quarter of all windows have less of


def without_hum(audio: np.ndarray, sample_rate: int, mains: float) -> np.ndarray:
    """Return audio, (channels, time), less the sinusoids at the multiples of the mains' frequency:

        x - sum_k a_k cos(2 pi k f t) + b_k sin(2 pi k f t)

    ``a_k`` and ``b_k`` are fitted by least squares in windows of a second that fade into each other; ``f``, within
    0.4 % of ``mains``, is that which takes off most. Hum is always there, and notes are not: of a harmonic no more is
    taken off than a fifth above what a quarter of the windows have less of.

    Args:
        audio: At ``sample_rate``, Hz.
        mains: 50 or 60 Hz.
    """
    size = min(round(_WINDOW * sample_rate), audio.shape[-1])
    starts = list(range(0, max(1, audio.shape[-1] - size + 1), max(1, size // 2)))
    if starts[-1] + size < audio.shape[-1]:
        starts.append(audio.shape[-1] - size)
    mono = audio.mean(0)
    probe = np.stack([mono[start : start + size] for start in starts[:: max(1, len(starts) // 8)]], 1)
    best = max(mains * (1 + _ASTRAY), key=lambda f: float(np.square(_fit(probe, f, sample_rate)).sum()))
    hum, weight = np.zeros_like(audio), np.full(audio.shape[-1], 1e-9)
    fade, table = np.hanning(size + 2)[1:-1], _table(size, best, sample_rate)
    for channel, row in enumerate(audio):
        found = _fit(np.stack([row[start : start + size] for start in starts], 1), best, sample_rate)
        cosine, sine = np.split(found, 2)
        amplitude = np.hypot(cosine, sine)
        most = _STEADY * np.percentile(amplitude, 25, axis=1, keepdims=True)
        found = found * np.tile(np.minimum(1, most / np.maximum(amplitude, 1e-12)), (2, 1))
        for number, start in enumerate(starts):
            hum[channel, start : start + size] += fade * (table @ found[:, number])
    for start in starts:
        weight[start : start + size] += fade
    return np.asarray(audio - hum / weight)


def _table(size: int, hertz: float, rate: int) -> np.ndarray:
    """Cosines and then sines of the harmonics, (time, 2 harmonics)."""
    count = int(min(HIGHEST, 0.45 * rate) // hertz)
    phase = 2 * np.pi * hertz / rate * np.arange(size)[:, None] * np.arange(1, count + 1)
    return np.concatenate([np.cos(phase), np.sin(phase)], axis=1)


def _fit(x: np.ndarray, hertz: float, rate: int) -> np.ndarray:
    """Weights of the harmonics in windows (time, windows), (2 harmonics, windows)."""
    table = _table(len(x), hertz, rate)
    # Whole periods or not, the columns are all but orthogonal: the normal equations are well posed.
    return np.asarray(np.linalg.solve(table.T @ table + 1e-6 * np.eye(table.shape[1]), table.T @ x))
