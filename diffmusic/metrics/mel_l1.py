"""Mean absolute difference of log-mel spectrograms."""

from __future__ import annotations

import numpy as np
import torch

from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.audio.resample import resample


def mel_l1(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Compute ``mean |M(x) - M(y)|`` in nats, lower is better; ``M`` the log-mel of ``diffmusic.audio.mel`` (64 bands).

    reference, estimate: (channels, time), of equal shape.
    """
    spec = MelSpec()
    rows = [torch.from_numpy(resample(x, sample_rate, spec.sample_rate)) for x in (reference, estimate)]
    return float((LogMel(spec)(rows[0]) - LogMel(spec)(rows[1])).abs().mean())
