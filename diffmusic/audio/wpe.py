"""Weighted prediction error: late reverberation is what earlier frames of a recording predict of later ones."""

from __future__ import annotations

import torch
from torch import Tensor

from diffmusic.audio.stft import STFT, inverse, spectrum

_AT_ONCE = 1 << 25  # numbers of the delayed frames that are in memory at a time


def dereverberated(
    audio: Tensor, settings: STFT, taps: int = 20, delay: int = 3, iterations: int = 3, context: int = 1
) -> Tensor:
    """Take off what the past predicts, in each bin of the STFT ``Y``, all channels together:

        D[t] = Y[t] - G^H Y~[t],   Y~[t] = (Y[t - delay], ..., Y[t - delay - taps + 1])
        G = (sum_t Y~ Y~^H / lambda)^-1 sum_t Y~ Y^H / lambda,   lambda[t] = mean |D|^2 around t, over the channels

    ``lambda`` is that of the estimate before, of ``Y`` at first: what is loud now weighs little, so that music, which
    is predictable too, is less taken for reverberation. What follows a sound within ``delay - 1`` frames, its early
    reflections, stays.

    Args:
        audio: (channels, time).
        settings: Of the STFT.
        taps: Frames that predict.
        delay: Frames from the last of them to the one that is predicted.
        iterations: Estimates of ``lambda``.
        context: Frames on either side that ``lambda`` is a mean over.

    Returns:
        (channels, time).

    Source: T. Nakatani et al., "Speech dereverberation based on variance-normalized delayed linear prediction", IEEE
    Trans. Audio, Speech, and Language Processing 18(7), 2010; of several channels T. Yoshioka and T. Nakatani, the same
    journal 20(10), 2012.
    """
    y = spectrum(audio.double(), settings).permute(2, 0, 1)  # (bins, channels, frames)
    _, channels, frames = y.shape
    size = max(1, _AT_ONCE // (taps * channels * frames))
    parts = [_filtered(each, taps, delay, iterations, context) for each in y.split(size)]
    return inverse(torch.cat(parts).permute(1, 2, 0), settings, audio.shape[-1]).to(audio)


def _filtered(y: Tensor, taps: int, delay: int, iterations: int, context: int) -> Tensor:
    frames = y.shape[-1]
    past = torch.nn.functional.pad(y, (delay + taps - 1, 0))[..., : frames + taps - 1]
    past = past.unfold(-1, taps, 1).transpose(-1, -2).flatten(1, 2)  # (bins, channels * taps, frames)
    clean = y
    for _ in range(iterations):
        power = clean.abs().square().mean(1, keepdim=True)
        power = torch.nn.functional.avg_pool1d(power, 2 * context + 1, 1, context, count_include_pad=False)
        power = power.clamp(min=1e-10 * float(power.max()) + 1e-30)
        weighted = past / power
        matrix = weighted @ past.mH
        ridge = 1e-9 * matrix.diagonal(dim1=-2, dim2=-1).real.mean(-1) + 1e-30
        matrix = matrix + ridge[:, None, None] * torch.eye(matrix.shape[-1]).to(matrix)
        clean = y - torch.linalg.solve(matrix, weighted @ y.mH).mH @ past
    return clean
