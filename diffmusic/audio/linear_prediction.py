"""Linear prediction: continuation of a sound that rings, and interpolation of a few samples of it."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter, lfiltic


def extrapolate(context: np.ndarray, count: int, order: int) -> np.ndarray:
    """Continue a signal by ``count`` samples with an autoregressive model of itself:

        x[n] = -sum_{k=1..p} a_k x[n-k]

    with ``a`` from Burg's method, which keeps sinusoids sharp and the filter stable. A context that is silent or too
    short to model continues as zeros.

    Args:
        context: (time,), float64.
        count: samples to add.
        order: ``p``, lowered to a third of the context where that is shorter.
    """
    order = min(order, len(context) // 3)
    if order < 1 or count < 1 or float(np.square(context).sum()) < 1e-20:
        return np.zeros(count)
    a = _burg(context, order)
    history = lfiltic([1.0], a, context[: -order - 1 : -1])
    continued, _ = lfilter([1.0], a, np.zeros(count), zi=history)
    return continued


def interpolated(x: np.ndarray, a: np.ndarray, start: int, stop: int) -> np.ndarray:
    """The samples ``[start, stop)`` that leave the least of a signal behind its prediction filter:

        argmin sum_n e[n]^2,   e[n] = sum_{k=0..p} a_k x[n - k]

    Args:
        x: (time,), with ``p`` samples at least on either side of those.
        a: the filter, (1, a_1, ..., a_p).

    Source: A. Janssen, R. Veldhuis and L. Vries, "Adaptive interpolation of discrete-time signals that can be modeled
    as autoregressive processes", IEEE TASSP 34(2), 1986, of a filter that is known.
    """
    order, count = len(a) - 1, stop - start
    silent = x[start - order : stop + order].copy()
    silent[order : order + count] = 0
    left = np.convolve(silent, a, "valid")
    column = np.zeros(count)
    lags = np.correlate(a, a, "full")[order:]
    column[: min(count, order + 1)] = lags[:count]
    return np.asarray(solve_toeplitz(column, -np.correlate(left, a, "valid")))


def _burg(x: np.ndarray, order: int) -> np.ndarray:
    """Fit the whitening filter (1, a_1, ..., a_p) of a signal, by Burg's method.

    A sum of sinusoids is predicted exactly at a low order, and the rest to fit is rounding errors; their filter would
    be unstable. So noise 120 dB below the signal is added, and each stage computes its energies anew (librosa's lpc
    updates them, and fails on a clean synthetic tone).
    """
    # The noise turns with the signal, so that opposite signals are continued by opposite ones.
    scale = 1e-6 * np.sqrt(np.square(x).mean()) * np.sign(x[np.argmax(np.abs(x))])
    x = x + scale * np.random.default_rng(0).standard_normal(len(x))
    forward, backward = x[1:], x[:-1]
    a = np.ones(1)
    for _ in range(order):
        k = -2 * (forward @ backward) / (forward @ forward + backward @ backward)
        a = np.append(a, 0.0)
        a = a + k * a[::-1]
        forward, backward = (forward + k * backward)[1:], (backward + k * forward)[:-1]
    return a


def bridge(before: np.ndarray, after: np.ndarray, count: int, order: int) -> np.ndarray:
    """Fill ``count`` samples between two contexts, each extrapolated into the gap, with a raised-cosine crossfade.

    One side alone is used where the other is empty.

    Source: I. Kauppinen and K. Roth, "Audio signal extrapolation: theory and applications", DAFx 2002.
    """
    forward = extrapolate(before, count, order)
    backward = extrapolate(after[::-1], count, order)[::-1]
    if not len(after):
        return forward
    if not len(before):
        return backward
    fade = 0.5 + 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    return fade * forward + (1.0 - fade) * backward
