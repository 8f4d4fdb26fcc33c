"""Derivative of a vocoder with the fine structure of its sound kept fixed."""

from __future__ import annotations

from torch import Tensor

from diffmusic.audio.mel import LogMel
from diffmusic.audio.overlap_add import overlap_add


def follow(audio: Tensor, log_mel: Tensor, transform: LogMel) -> Tensor:
    """``audio``, with the derivative that it would have were the vocoder an equaliser that its log-mel drives:

        x(m') = ISTFT(STFT(x) exp(B^T (m' - m) / B^T 1))   at ``m' = m``

    audio: ``x = V(m)``, (batch, frames * hop), computed without a gradient. log_mel: ``m``, (batch, frames, bands).
    transform: the log-mel that ``V`` inverts, with bands ``B``.

    A vocoder invents phases, and where bins cancel they swing with the least change of its input: its own derivative
    is large there and says little about where a misfit would fall. A log-mel hardly depends on them, and ``V`` is
    trained to give back the one that went in, so what is left is what ``V`` is for. It also costs no backward pass.
    """
    if not log_mel.requires_grad:
        return audio
    change = log_mel - log_mel.detach()
    spectrum = transform.raised(transform.spectrum(audio), change)
    moving = overlap_add(spectrum, transform.spec.n_fft, transform.spec.hop)
    return audio + (moving - moving.detach())
