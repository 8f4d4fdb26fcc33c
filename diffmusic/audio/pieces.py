"""Audio that comes in blocks, in the pieces that frames of a spectrogram are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import torch

from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.audio.resample import resampled
from diffmusic.audio.signal import Signal

PIECE = 2048
"""Frames in memory at a time."""


class Framing(Protocol):
    """Frames of a spectrogram: ``hop`` samples apart, so many of an excerpt."""

    @property
    def hop(self) -> int: ...

    def frames(self, samples: int, /) -> int: ...


def pieces(blocks: Iterable[np.ndarray], spec: Framing, margin: int) -> Iterator[tuple[torch.Tensor, slice]]:
    """Pieces of a signal that comes in blocks, (channels, time), and which of their frames are their own: ``margin``
    frames on either side belong to their neighbours. The first and the last one end where the signal does."""
    held, begin, start = list[np.ndarray](), 0, 0  # samples from frame ``begin`` on; the next frame wanted is ``start``
    for block in blocks:
        held.append(block)
        while sum(part.shape[-1] for part in held) >= (start - begin + PIECE + margin) * spec.hop:
            x = np.concatenate(held, axis=1)
            first, stop = begin, start + PIECE
            yield (
                torch.from_numpy(np.ascontiguousarray(x[:, : (stop + margin - first) * spec.hop])),
                slice(start - first, stop - first),
            )
            start, begin = stop, max(0, stop - margin)
            held = [x[:, (begin - first) * spec.hop :]]
    x = np.concatenate(held, axis=1)
    frames = begin + spec.frames(x.shape[-1])
    if frames > start:
        yield torch.from_numpy(np.ascontiguousarray(x)), slice(start - begin, frames - begin)


def log_mels(signal: Signal, rate: int, spec: MelSpec, mono: bool = False) -> Iterator[torch.Tensor]:
    """Log-mel of a signal at ``rate`` Hz, ``PIECE`` frames at a time, (channels, frames, bands), float64.

    mono: of the mean of its channels.
    """
    blocks = (block.mean(0, keepdims=True) if mono else block for block in signal.blocks())
    low = resampled(blocks, rate, spec.sample_rate, np.float64)
    for piece, own in pieces(low, spec, -(-spec.n_fft // spec.hop)):
        yield LogMel(spec)(piece)[:, own]
