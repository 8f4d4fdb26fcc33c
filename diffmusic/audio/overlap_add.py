"""Inverse of the log-mel's STFT."""

import torch
from torch import Tensor
from torch.nn import functional


def overlap_add(spectrum: Tensor, n_fft: int, hop: int) -> Tensor:
    """Invert an STFT (Hann) of (batch, frames, n_fft / 2 + 1), trimmed to (batch, frames * hop):

        x = sum_t w y_t / sum_t w^2

    Frame ``t`` is centred on sample ``(t + 1/2) hop``, exactly as in ``LogMel``. ``torch.istft`` cannot trim this way.
    """
    frames = spectrum.shape[1]
    window = torch.hann_window(n_fft, dtype=spectrum.real.dtype, device=spectrum.device)
    pieces = torch.fft.irfft(spectrum, n=n_fft) * window
    length, margin = (frames - 1) * hop + n_fft, (n_fft - hop) // 2

    def fold(columns: Tensor) -> Tensor:
        whole = functional.fold(columns.transpose(1, 2), (1, length), (1, n_fft), stride=(1, hop))
        return whole[:, 0, 0, margin : length - margin]

    return fold(pieces) / fold(window.square().expand(1, frames, n_fft))
