"""Passages of a long recording: what has to be read to restore a stretch of it, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.signal import BLOCK, Patch, Signal, put
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.operator import Operator, kept, regions

LONGEST = 20.0
"""Seconds of damage that share a passage."""


@dataclass(frozen=True)
class Passage:
    """Stretch ``[start, stop)`` that is read, and the parts of it, in samples of the recording, that are restored."""

    start: int
    stop: int
    own: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Passages:
    """Recording in passages: what an operator and a solver see of the one is what they see of the whole.

    Rectangles of the spectrogram that lie close together share frames, and are never parted.

    Attributes:
        bound: The operator at the rate of the recording.
        signal: The recording as it is on file.
        offset: Mean of each channel that is taken off, (1, channels, 1).
        reach: Samples on either side of damage that matter.
        filled: Damage that a solver has filled in already; it counts as measured.
    """

    bound: BoundOperator
    signal: Signal
    offset: Tensor
    reach: int
    filled: tuple[Patch, ...] = ()

    @cached_property
    def filled_in(self) -> Sequence[Patch]:
        """What was filled in, as it would be on file: with the offset."""
        if not self.offset.any():
            return self.filled
        return [Patch(each.start, each.audio + self.offset[0].numpy()) for each in self.filled]

    def spans(self) -> list[tuple[int, int]]:
        """The stretches that change, sorted and disjoint, in samples."""
        found = self.bound.spans(self.signal.samples)
        if not self._halo:
            return found
        joined: list[tuple[int, int]] = []
        for start, stop in found:
            if joined and start - joined[-1][1] <= 2 * self._halo:
                joined[-1] = joined[-1][0], max(stop, joined[-1][1])
            else:
                joined.append((start, stop))
        return [(max(0, a - self._halo), min(self.signal.samples, b + self._halo)) for a, b in joined]

    @property
    def _halo(self) -> int:
        """Samples around a rectangle that its frames reach; 0 where there is none."""
        return self.reach // 2 if regions(self.bound.operator, self.signal.samples) else 0

    def __iter__(self) -> Iterator[Passage]:
        groups: list[list[tuple[int, int]]] = []
        for span in self.spans():
            if groups and span[1] - groups[-1][0][0] <= LONGEST * self.bound.rate:
                groups[-1].append(span)
            else:
                groups.append([span])
        for group in groups:
            first, last = self.widened(group[0][0] - self.reach, group[-1][1] + self.reach)
            yield Passage(first, last, tuple(group))

    def widened(self, first: int, last: int) -> tuple[int, int]:
        """Widen a stretch so that it lies in the recording and cuts no group of rectangles."""
        if self._halo:
            for start, stop in self.spans():
                first = min(first, start) if start < first < stop else first
                last = max(last, stop) if start < last < stop else last
        return max(0, first), min(self.signal.samples, last)

    def at(self, first: int) -> BoundOperator:
        """Bind the operator to what begins at a sample."""
        return self.bound.at(self.bound.rate, first / self.bound.rate)

    def measured(self, first: int, last: int) -> Tensor:
        """Read a part of the measurement, (1, channels, time)."""
        begin, end = self.widened(first, last)
        y = self.at(begin).measurement(torch.from_numpy(self.signal.read(begin, end - begin))[None])
        put(self.filled_in, y[0, :, first - begin : last - begin].numpy(), first)
        return y[..., first - begin : last - begin]

    def centred(self, first: int, last: int) -> Tensor:
        """Read the same without its offset."""
        return self._centred(self.measured(first, last), first)

    def centred_blocks(self) -> Iterator[Tensor]:
        """Read all of it in order, of an operator without rectangles."""
        first = 0
        for block in self.signal.blocks():
            y = self.at(first).measurement(torch.from_numpy(block)[None])
            put(self.filled_in, y[0].numpy(), first)
            yield self._centred(y, first)
            first += block.shape[-1]

    def _centred(self, y: Tensor, first: int) -> Tensor:
        if self.offset.any():
            y = y - self.offset * kept(self.at(first).operator, y.shape[-1])
            put(self.filled, y[0].numpy(), first)
        return y


@dataclass(frozen=True, eq=False)
class Damaged:
    """What an operator leaves of a clean recording, as a signal."""

    passages: Passages

    @classmethod
    def by(cls, operator: Operator, clean: Signal, sample_rate: int) -> Damaged:
        """Damage a recording by an operator with ``reach``."""
        bound = BoundOperator.unfitted(operator, sample_rate)
        return cls(Passages(bound, clean, torch.zeros(1), round((bound.reach or 0.0) * sample_rate)))

    @property
    def channels(self) -> int:
        return self.passages.signal.channels

    @property
    def samples(self) -> int:
        return self.passages.signal.samples

    def read(self, first: int, count: int) -> np.ndarray:
        last, reach = min(first + count, self.samples), self.passages.reach
        begin, end = self.passages.widened(first - reach, last + reach)
        clean = torch.from_numpy(self.passages.signal.read(begin, end - begin))[None]
        y = self.passages.at(begin).operator.forward(clean)
        return y[0, :, first - begin : last - begin].numpy().copy()

    def blocks(self) -> Iterator[np.ndarray]:
        return (self.read(first, BLOCK) for first in range(0, self.samples, BLOCK))
