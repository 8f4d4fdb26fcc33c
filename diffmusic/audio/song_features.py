"""Log-mel and chroma of a whole recording, to find what is alike in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from librosa.filters import chroma as chroma_filters

from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.audio.resample import resample

_RATE = 16_000  # Hz; what is compared lies below half of it
_HOP = 0.02  # seconds between frames
_CHROMA_WINDOW = 0.128  # seconds
_FLOOR = 1e-4  # of a mel magnitude: quieter music is silence here
_PIECE = 2048  # frames in memory at a time


@dataclass(frozen=True)
class Features:
    """What is compared of a recording, one row a frame.

    mel: log-mel, (frames, bands), nats. chroma: (frames, 12), each row of length 1. mel_known, chroma_known: (frames,),
    False where a frame touches a lost sample. hop: seconds from a frame to the next; frame ``t`` lies around
    ``(t + 1/2) hop``.
    """

    mel: np.ndarray
    chroma: np.ndarray
    mel_known: np.ndarray
    chroma_known: np.ndarray
    hop: float


def features(audio: np.ndarray, rate: int, lost: Sequence[tuple[int, int]]) -> Features:
    """Features of a recording (channels, time) at ``rate`` Hz, whose channels are compared by their mean power. lost:
    stretches in samples, sorted and disjoint, that say nothing."""
    low = min(rate, _RATE)
    seconds = audio.shape[-1] / rate
    hop = round(_HOP * low)
    x = torch.from_numpy(resample(np.asarray(audio, dtype=np.float32), rate, low))
    spec = MelSpec.at(low)
    spec = MelSpec(low, spec.n_fft, hop, spec.bands, high=spec.high, floor=_FLOOR)
    mel = torch.cat([LogMel(spec).of_magnitude(power.sqrt()[None])[0] for power in _powers(x, spec)])
    size = 2 ** round(np.log2(_CHROMA_WINDOW * low))
    classes = _pitch_classes(low, size).T
    chroma = torch.cat([torch.log1p(100 * power @ classes) for power in _powers(x, MelSpec(low, size, hop, 1))])
    chroma = chroma / chroma.norm(dim=1, keepdim=True).clamp(min=1e-6)
    frames = len(mel)
    known = [_known(lost, seconds, rate, frames, hop / low, width / low) for width in (spec.n_fft, size)]
    return Features(mel.numpy(), chroma.numpy(), known[0], known[1], hop / low)


def _powers(x: torch.Tensor, spec: MelSpec) -> Iterator[torch.Tensor]:
    """Power spectra of (channels, time), mean over channels, (frames, bins), some frames after others: those of an hour
    would take gigabytes."""
    frames, margin = spec.frames(x.shape[-1]), -(-spec.n_fft // spec.hop)
    for start in range(0, frames, _PIECE):
        stop, first = min(frames, start + _PIECE), max(0, start - margin)
        last = None if stop == frames else (stop + margin) * spec.hop
        spectra = [LogMel(spec).spectrum(row[None, first * spec.hop : last])[0] for row in x]
        yield torch.stack([each[start - first : stop - first].abs().square() for each in spectra]).mean(0)


@lru_cache(maxsize=4)
def _pitch_classes(rate: int, size: int) -> torch.Tensor:
    return torch.from_numpy(chroma_filters(sr=rate, n_fft=size, tuning=0.0).astype(np.float32))


def _known(
    lost: Sequence[tuple[int, int]], seconds: float, rate: int, frames: int, hop: float, width: float
) -> np.ndarray:
    """Which frames, ``width`` seconds long, touch no lost sample, (frames,)."""
    centres = (np.arange(frames) + 0.5) * hop
    known = np.ones(frames, dtype=bool)
    for start, stop in lost:
        known &= (centres <= start / rate - width / 2) | (centres >= stop / rate + width / 2)
    return known
