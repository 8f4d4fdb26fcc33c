"""Losses on log-mels and on spectra."""

import torch
from torch import Tensor

RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))


def mel_loss(estimate: Tensor, target: Tensor) -> Tensor:
    """``mean |e - m| + 1/4 (mean |d_t (e - m)| + mean |d_f (e - m)|)`` of log-mels (..., frames, bands), in nats.

    The differences along time and frequency keep onsets and harmonics from being averaged away.
    """
    error = estimate - target
    along_time = error.diff(dim=-2).abs().mean()
    along_frequency = error.diff(dim=-1).abs().mean()
    return error.abs().mean() + 0.25 * (along_time + along_frequency)


def spectral_loss(estimate: Tensor, target: Tensor) -> Tensor:
    """``sum_r mean |log S - log S'| + ||S - S'|| / ||S||`` over STFT magnitudes at three resolutions; (batch, time).

    The spectral convergence is normalised over the whole batch: over one quiet crop it explodes.
    """
    total = estimate.new_zeros(())
    for n_fft, hop in RESOLUTIONS:
        window = torch.hann_window(n_fft, device=estimate.device)
        e, t = (torch.stft(x, n_fft, hop, window=window, return_complex=True).abs() for x in (estimate, target))
        total = total + (e.clamp(min=1e-3).log() - t.clamp(min=1e-3).log()).abs().mean()
        total = total + torch.linalg.norm(e - t) / torch.linalg.norm(t).clamp(min=1e-3)
    return total / len(RESOLUTIONS)
