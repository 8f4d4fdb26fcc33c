"""Preparation of recordings for models: mono, at one rate, in windows of one length."""

from __future__ import annotations

import numpy as np

from diffmusic.audio.resample import resample


def windows(
    x: np.ndarray, sample_rate: int, rate: int, length: int, overlap: float = 0.5, tails: bool = False
) -> list[np.ndarray]:
    """Cut the mono sum of x, (channels, time), at ``rate``, into windows of ``length`` samples.

    The mono sum is the mean of the channels; each window is (time,). overlap: fraction by which neighbours overlap. The
    last window ends with the audio, and only audio that is shorter than a window gives a window that is shorter. tails:
    instead, windows begin at all multiples of the hop, and the last ones hold the rest.
    """
    mono = resample(x.mean(0, keepdims=True), sample_rate, rate)[0]
    hop = length - round(length * overlap)
    if tails:
        starts = list(range(0, len(mono), hop))
    else:
        last = max(0, len(mono) - length)
        starts = sorted({*range(0, last + 1, hop), last})
    return [mono[start : start + length] for start in starts]
