"""Short-time Fourier transform, its inverse, and audio with the phases of another sound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class STFT:
    """Settings of a magnitude spectrogram.

    Attributes:
        n_fft: Window, samples.
        hop: From one window to the next, samples.
        sample_rate: Rate that both refer to, Hz.
    """

    n_fft: int
    hop: int
    sample_rate: int


def windows_of(seconds: float, sample_rate: int) -> STFT:
    """Return settings with windows of about ``seconds``, a power of two of samples, and a hop of a quarter window."""
    n_fft = max(16, 2 ** round(math.log2(seconds * sample_rate)))
    return STFT(n_fft, n_fft // 4, sample_rate)


def spectrum(x: Tensor, settings: STFT) -> Tensor:
    """Compute the complex STFT of (..., time) with a Hann window, (..., frames, bins).

    Frame ``t`` is centred on sample ``t hop``, and beyond the ends there is silence, as in ``librosa.stft``. There are
    ``1 + time // hop`` frames.
    """
    window = torch.hann_window(settings.n_fft, dtype=x.dtype, device=x.device)
    rows = x.reshape(-1, x.shape[-1])
    bins = torch.stft(rows, settings.n_fft, settings.hop, window=window, pad_mode="constant", return_complex=True)
    return bins.mT.reshape(*x.shape[:-1], bins.shape[-1], -1)


def inverse(bins: Tensor, settings: STFT, length: int) -> Tensor:
    """Return the audio (..., time) whose STFT is nearest to (..., frames, bins) in the least-squares sense."""
    window = torch.hann_window(settings.n_fft, dtype=bins.real.dtype, device=bins.device)
    rows = bins.reshape(-1, *bins.shape[-2:]).mT
    audio = torch.istft(rows, settings.n_fft, settings.hop, window=window, length=length)
    return audio.reshape(*bins.shape[:-2], length)


def rephased(x: Tensor, like: Tensor, settings: STFT) -> Tensor:
    """Combine the magnitudes of one sound with the phases of another, both (..., time):

        ISTFT(|STFT(x)| e^{i arg STFT(like)})

    Channels are processed one by one.
    """
    length = x.shape[-1]

    def row(x: Tensor, like: Tensor) -> Tensor:
        return inverse(torch.polar(spectrum(x, settings).abs(), spectrum(like, settings).angle()), settings, length)

    # One by one: the bins of minutes are gigabytes.
    rows = zip(x.reshape(-1, length), like.reshape(-1, length), strict=True)
    return torch.stack([row(*each) for each in rows]).reshape(x.shape)
