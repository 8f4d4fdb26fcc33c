"""Filling in clipped samples so that every unclipped one is kept and every clipped one lies beyond the level."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffmusic.audio.stft import STFT, inverse, spectrum

_FRAME = 0.046  # seconds
_RANGE = 1e-1, 1e-6  # the threshold's power at the first and last iteration, over the strongest bin of the frame


def consistent(
    y: Tensor,
    above: Tensor,
    below: Tensor,
    rate: int,
    iterations: int,
    estimate: Tensor | None = None,
    trust: float = 0.0,
) -> Tensor:
    """``x <- P_C(ISTFT(w STFT(x)))``, ``w = S / (S + t)``, with ``t`` falling from iteration to iteration.

    ``P_C`` puts back what was not clipped and keeps clipped samples beyond the level; ``w`` is the Wiener gain of a
    music whose power spectrum is ``S`` in a noise of power ``t``. ``S`` is that of ``x`` itself to the power 1 - trust,
    times that of the estimate to the power trust: an estimate whose phases differ from the recording's, as those of a
    vocoder do, still tells where the energy of the original lay. y, above, below, estimate, result: (..., time).
    Source: the consistent iterative thresholding of S. Kitic et al., ICASSP 2013, with a Wiener gain.
    """
    n_fft = 2 ** round(math.log2(max(32, _FRAME * rate)))
    settings, out, length = STFT(n_fft, n_fft // 4, rate), y, y.shape[-1]
    told = None if estimate is None or trust == 0 else spectrum(estimate.to(y), settings).abs()
    for k in range(iterations):
        bins = spectrum(out, settings)
        power = bins.abs().square()
        if told is not None:
            power = power ** (1 - trust) * told.square() ** trust
        first, last = _RANGE
        part = k / max(1, iterations - 1)
        threshold = first ** (1 - part) * last**part * power.amax(-1, keepdim=True)
        smooth = inverse(bins * (power / (power + threshold + 1e-30)), settings, length)
        out = torch.where(above, torch.maximum(smooth, y), torch.where(below, torch.minimum(smooth, y), y))
    return out
