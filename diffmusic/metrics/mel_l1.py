"""Mean absolute difference of log-mel spectrograms."""

from __future__ import annotations

import torch

from diffmusic.audio.mel import MelSpec
from diffmusic.audio.pieces import log_mels
from diffmusic.audio.signal import Signal
from diffmusic.metrics.contract import streamed


@streamed
def mel_l1(reference: Signal, estimate: Signal, sample_rate: int) -> float:
    """Compute ``mean |M(x) - M(y)|`` in nats, lower is better; ``M`` the log-mel of ``diffmusic.audio.mel`` (64 bands).

    reference, estimate: of equal shape.
    """
    mels = (log_mels(x, sample_rate, MelSpec()) for x in (reference, estimate))
    frames = [(x - y).abs().mean(-1) for x, y in zip(*mels, strict=True)]
    return float(torch.cat(frames, dim=1).mean())
