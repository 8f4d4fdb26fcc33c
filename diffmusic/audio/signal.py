"""Audio that is read where it is needed: of a file, in memory, or of another signal with stretches replaced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

BLOCK = 1 << 18
"""Samples that are in memory at a time where a signal is read from its beginning to its end."""


@runtime_checkable
class Signal(Protocol):
    """Audio of any length, of which a stretch is read at a time."""

    @property
    def channels(self) -> int:
        """Number of channels."""
        ...

    @property
    def samples(self) -> int:
        """Length of each channel."""
        ...

    def read(self, first: int, count: int, /) -> np.ndarray:
        """Read a stretch.

        Args:
            first: Its first sample.
            count: Its length, in samples.

        Returns:
            (channels, count), float64, full scale 1; fewer samples where the signal ends.
        """
        ...

    def blocks(self) -> Iterator[np.ndarray]:
        """Read everything in order, ``BLOCK`` samples at a time."""
        ...


@dataclass(frozen=True, eq=False)
class Samples:
    """Audio in memory, (channels, time)."""

    audio: np.ndarray

    @property
    def channels(self) -> int:
        return len(self.audio)

    @property
    def samples(self) -> int:
        return self.audio.shape[-1]

    def read(self, first: int, count: int) -> np.ndarray:
        return np.array(self.audio[:, first : first + count], dtype=np.float64)

    def blocks(self) -> Iterator[np.ndarray]:
        for first in range(0, self.samples, BLOCK):
            yield self.read(first, BLOCK)


@dataclass(frozen=True, eq=False)
class Patch:
    """Replacement of the samples from ``start`` on, (channels, time)."""

    start: int
    audio: np.ndarray

    @property
    def stop(self) -> int:
        """The first sample behind it."""
        return self.start + self.audio.shape[-1]


def put(patches: Sequence[Patch], audio: np.ndarray, first: int) -> np.ndarray:
    """Write patches into the stretch of a signal, (channels, time), that begins at sample ``first``; return it."""
    last = first + audio.shape[-1]
    for patch in patches:
        a, b = max(first, patch.start), min(last, patch.stop)
        if a < b:
            audio[:, a - first : b - first] = patch.audio[:, a - patch.start : b - patch.start]
    return audio


@dataclass(frozen=True, eq=False)
class Patched:
    """A signal with some stretches replaced; of patches that overlap the later one holds."""

    base: Signal
    patches: Sequence[Patch]

    @property
    def channels(self) -> int:
        return self.base.channels

    @property
    def samples(self) -> int:
        return self.base.samples

    def read(self, first: int, count: int) -> np.ndarray:
        return put(self.patches, self.base.read(first, count), first)

    def blocks(self) -> Iterator[np.ndarray]:
        first = 0
        for block in self.base.blocks():
            yield put(self.patches, block, first)
            first += block.shape[-1]


@dataclass(frozen=True, eq=False)
class Finite:
    """A signal with silence for samples that are no numbers."""

    base: Signal

    @property
    def channels(self) -> int:
        return self.base.channels

    @property
    def samples(self) -> int:
        return self.base.samples

    def read(self, first: int, count: int) -> np.ndarray:
        return np.nan_to_num(self.base.read(first, count), posinf=0.0, neginf=0.0)

    def blocks(self) -> Iterator[np.ndarray]:
        return (np.nan_to_num(block, posinf=0.0, neginf=0.0) for block in self.base.blocks())


@dataclass(frozen=True, eq=False)
class Channels:
    """Some channels of a signal, from ``first`` on."""

    base: Signal
    first: int
    channels: int

    @property
    def samples(self) -> int:
        return self.base.samples

    def read(self, first: int, count: int) -> np.ndarray:
        return self.base.read(first, count)[self.first : self.first + self.channels]

    def blocks(self) -> Iterator[np.ndarray]:
        return (block[self.first : self.first + self.channels] for block in self.base.blocks())


def together(first: Signal, second: Signal) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read two signals of one length in order; the blocks of both are equally long."""
    rest = np.zeros((second.channels, 0))
    others = second.blocks()
    for block in first.blocks():
        held = [rest]
        while sum(each.shape[-1] for each in held) < block.shape[-1]:
            held.append(next(others))
        joined = np.concatenate(held, axis=1)
        yield block, joined[:, : block.shape[-1]]
        rest = joined[:, block.shape[-1] :]


def whole(signal: Signal) -> np.ndarray:
    """Read all of a signal, (channels, time)."""
    return signal.read(0, signal.samples)
