"""Log-mel and chroma of a whole recording, to find what is alike in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from librosa.filters import chroma as chroma_filters

from diffmusic.audio.mel import LogMel, MelSpec, mel_filters
from diffmusic.audio.pieces import pieces
from diffmusic.audio.resample import resample, resampled
from diffmusic.audio.signal import Signal

_RATE = 16_000  # Hz; what is compared lies below half of it
_HOP = 0.02  # seconds between frames
_CHROMA_WINDOW = 0.128  # seconds
_FLOOR = 1e-4  # of a mel magnitude: quieter music is silence here


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


def features(signal: Signal, rate: int, lost: Sequence[tuple[int, int]]) -> Features:
    """Features of a recording at ``rate`` Hz, whose channels are compared by their mean power. It is read in blocks.

    lost: stretches in samples, sorted and disjoint, that say nothing.
    """
    spec = _spec(rate)
    low, hop = spec.sample_rate, spec.hop
    size = 2 ** round(np.log2(_CHROMA_WINDOW * low))
    wide = MelSpec(low, size, hop, 1)
    classes = _pitch_classes(low, size).T
    # Filled as they come: parts that are put together in the end would be held twice.
    most = signal.samples * low // rate // hop + 2
    mel, chroma, frames = np.empty((most, spec.bands), np.float32), np.empty((most, 12), np.float32), 0
    for piece, own in pieces(resampled(signal.blocks(), rate, low), spec, -(-size // hop)):
        rows = torch.log1p(100 * _power(piece, wide)[own] @ classes)
        rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-6)
        there = slice(frames, frames + len(rows))
        mel[there] = LogMel(spec).of_magnitude(_power(piece, spec)[own].sqrt()[None])[0]
        chroma[there] = rows
        frames += len(rows)
    mel, chroma, seconds = mel[:frames], chroma[:frames], signal.samples / rate
    known = [_known(lost, seconds, rate, frames, hop / low, width / low) for width in (spec.n_fft, size)]
    return Features(mel, chroma, known[0], known[1], hop / low)


def log_mel(audio: np.ndarray, rate: int) -> np.ndarray:
    """The same log-mel of a stretch, (channels, time), whose first frame begins with it, (frames, bands)."""
    spec = _spec(rate)
    if audio.shape[-1] < spec.n_fft * rate / spec.sample_rate:
        return np.zeros((0, spec.bands))
    x = torch.from_numpy(resample(audio, rate, spec.sample_rate))
    return np.asarray(LogMel(spec).of_magnitude(_power(x, spec).sqrt()[None])[0].numpy())


def centres(rate: int) -> np.ndarray:
    """Hz of the bands' centres, (bands,)."""
    spec = _spec(rate)
    filters = mel_filters(spec, torch.float64, torch.device("cpu")).numpy()
    return filters.argmax(1) * spec.sample_rate / spec.n_fft


def _spec(rate: int) -> MelSpec:
    low = min(rate, _RATE)
    spec = MelSpec.at(low)
    return MelSpec(low, spec.n_fft, round(_HOP * low), spec.bands, high=spec.high, floor=_FLOOR)


def _power(x: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    """Power spectra of (channels, time), mean over channels, (frames, bins)."""
    return torch.stack([LogMel(spec).spectrum(row[None])[0].abs().square() for row in x]).mean(0)


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
