"""Griffin-Lim on a log-mel: the bar that a vocoder has to clear."""

import torch
from torch import Tensor
from torch.nn import functional

from diffmusic.audio.mel import MelSpec, mel_filters
from diffmusic.audio.overlap_add import overlap_add


def griffin_lim(log_mel: Tensor, spec: MelSpec, iterations: int = 64, momentum: float = 0.99) -> Tensor:
    """Audio (batch, frames * hop) whose magnitudes fit a log-mel (batch, frames, bands).

    Magnitudes by non-negative least squares (multiplicative updates), phases by fast Griffin-Lim
    (Perraudin et al. 2013): ``c = G(s)``, ``s' = |S| e^{i arg(c + m (c - c_before))}``.
    """
    magnitude = invert_mel(log_mel.exp(), mel_filters(spec, log_mel.dtype, log_mel.device))
    window = torch.hann_window(spec.n_fft, dtype=log_mel.dtype, device=log_mel.device)
    margin = (spec.n_fft - spec.hop) // 2
    generator = torch.Generator().manual_seed(0)
    turn = 2 * torch.pi * torch.rand(magnitude.shape, generator=generator).to(magnitude)
    spectrum, before = torch.polar(magnitude, turn), torch.zeros((), dtype=torch.complex64)
    for _ in range(iterations):
        audio = overlap_add(spectrum, spec.n_fft, spec.hop)
        padded = functional.pad(audio[:, None], (margin, margin), mode="reflect")[:, 0]
        consistent = torch.stft(padded, spec.n_fft, spec.hop, window=window, center=False, return_complex=True).mT
        spectrum = torch.polar(magnitude, (consistent + momentum * (consistent - before)).angle())
        before = consistent
    return overlap_add(spectrum, spec.n_fft, spec.hop)


def invert_mel(mel: Tensor, filters: Tensor, iterations: int = 100) -> Tensor:
    """``min_{S >= 0} ||mel - S B^T||`` by Lee and Seung's updates ``S <- S * (mel B) / (S B^T B)``."""
    magnitude = (mel @ filters).clamp(min=1e-8)
    for _ in range(iterations):
        magnitude = magnitude * (mel @ filters) / (magnitude @ filters.T @ filters).clamp(min=1e-12)
    return magnitude
