"""From a magnitude spectrogram to audio whose spectrogram it is, as nearly as may be."""

from __future__ import annotations

import torch
from torch import Tensor

from diffmusic.problem import STFT


def spectrum(x: Tensor, settings: STFT) -> Tensor:
    """Complex STFT of (..., time) with a Hann window, (..., frames, bins): frame ``t`` is centred on sample ``t hop``,
    and beyond the ends there is silence, as in ``librosa.stft``. There are ``1 + time // hop`` frames."""
    window = torch.hann_window(settings.n_fft, dtype=x.dtype, device=x.device)
    rows = x.reshape(-1, x.shape[-1])
    bins = torch.stft(rows, settings.n_fft, settings.hop, window=window, pad_mode="constant", return_complex=True)
    return bins.mT.reshape(*x.shape[:-1], bins.shape[-1], -1)


def inverse(bins: Tensor, settings: STFT, length: int) -> Tensor:
    """The audio (..., time) whose STFT is nearest to (..., frames, bins) in the least-squares sense."""
    window = torch.hann_window(settings.n_fft, dtype=bins.real.dtype, device=bins.device)
    rows = bins.reshape(-1, *bins.shape[-2:]).mT
    audio = torch.istft(rows, settings.n_fft, settings.hop, window=window, length=length)
    return audio.reshape(*bins.shape[:-2], length)


def griffin_lim(
    magnitude: Tensor, phase: Tensor, settings: STFT, length: int, iterations: int, momentum: float
) -> Tensor:
    """``c = STFT(ISTFT(S e^{i p}))``, ``p <- arg(c + m (c - c_before))``, audio (..., time) after so many iterations.

    magnitude, phase: (..., frames, bins), the phase in radians. momentum: 0 is D. Griffin and J. Lim 1984; near 1, the
    fast variant of N. Perraudin et al., "A fast Griffin-Lim algorithm", WASPAA 2013.
    """
    before = None
    for _ in range(iterations):
        consistent = spectrum(inverse(torch.polar(magnitude, phase), settings, length), settings)
        phase = (consistent if before is None else consistent + momentum * (consistent - before)).angle()
        before = consistent
    return inverse(torch.polar(magnitude, phase), settings, length)
