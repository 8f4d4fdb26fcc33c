"""Similarity of two recordings, neither of which is the truth of the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from diffmusic.audio.resample import resample
from diffmusic.metrics.clap import Clap
from diffmusic.metrics.mel_l1 import mel_l1


@dataclass(frozen=True)
class Likeness:
    """Similarity of two recordings, over the length that both have.

    Attributes:
        clap: the cosine of the mean embeddings of the small CLAP inside this package, -1 to 1, higher is more alike.
        log_mel: mean difference of log-mels in nats (``mel_l1``), lower is more alike.
    """

    clap: float
    log_mel: float


def likeness(a: np.ndarray, a_rate: int, b: np.ndarray, b_rate: int) -> Likeness:
    """Compare the mono sums of two recordings, (channels, time) at their rates in Hz, at the first one's rate."""
    x, y = a.mean(0, keepdims=True), resample(b.mean(0, keepdims=True), b_rate, a_rate)
    length = min(x.shape[-1], y.shape[-1])
    cosine = float(_direction(x, a_rate) @ _direction(y, a_rate))
    return Likeness(cosine, mel_l1(x[:, :length], y[:, :length], a_rate))


def _direction(x: np.ndarray, rate: int) -> np.ndarray:
    """Return the unit vector of the mean over the embeddings of a recording's windows."""
    mean = _clap().audio(x, rate).mean(0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12))


@cache
def _clap() -> Clap:
    from diffmusic.backbones.musicldm import MINI

    return Clap.load(MINI)
