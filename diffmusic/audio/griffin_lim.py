"""Griffin-Lim: audio from a magnitude spectrogram."""

from __future__ import annotations

import torch
from torch import Tensor

from diffmusic.audio.stft import STFT, inverse, spectrum


def griffin_lim(
    magnitude: Tensor, phase: Tensor, settings: STFT, length: int, iterations: int, momentum: float
) -> Tensor:
    """Iterate ``c = STFT(ISTFT(S e^{i p}))``, ``p <- arg(c + m (c - c_before))``, and return the audio, (..., time).

    magnitude, phase: (..., frames, bins), the phase in radians.

    Source: momentum 0 is D. Griffin and J. Lim 1984; near 1, the fast variant of N. Perraudin et al., "A fast
    Griffin-Lim algorithm", WASPAA 2013.
    """
    before = None
    for _ in range(iterations):
        consistent = spectrum(inverse(torch.polar(magnitude, phase), settings, length), settings)
        phase = (consistent if before is None else consistent + momentum * (consistent - before)).angle()
        before = consistent
    return inverse(torch.polar(magnitude, phase), settings, length)
