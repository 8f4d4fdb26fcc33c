"""Stretches of a recording that is read in blocks: where something holds, and what lies around a sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from diffmusic.audio.signal import Signal

_TOGETHER = 1.0  # seconds between two places up to which they are read together
_LONGEST = 10.0  # seconds that are read at a time


class Stretches:
    """Stretches in which a condition holds that comes in blocks of truth values."""

    def __init__(self) -> None:
        self._first, self._open = 0, 0
        self._holds = False
        self._found: list[np.ndarray] = []

    def add(self, holds: np.ndarray) -> None:
        """Take the next values, (time,), of bool."""
        change = np.flatnonzero(np.diff(np.concatenate([[self._holds], holds]).astype(np.int8)))
        edges = self._first + change
        if self._holds:
            edges = np.concatenate([[self._open], edges])
        self._first += len(holds)
        self._holds = bool(len(edges) % 2)
        if self._holds:
            self._open, edges = int(edges[-1]), edges[:-1]
        if len(edges):
            self._found.append(edges.reshape(-1, 2))

    def found(self) -> np.ndarray:
        """The stretches so far, (stretches, 2), start and stop; one that still holds ends here."""
        rest = [np.array([[self._open, self._first]])] if self._holds else []
        return np.concatenate([np.zeros((0, 2), dtype=int), *self._found, *rest])


def around(signal: Signal, rate: int, places: Sequence[int], margin: int) -> Iterator[tuple[int, np.ndarray]]:
    """Read what lies around places, sorted, in samples: those that are close together are read at once.

    Yields:
        For each place, the first sample of a stretch and its audio, (channels, time), which holds ``margin`` samples on
        either side of the place, as far as the recording goes.
    """
    group: list[int] = []
    for place in [*places, None]:
        if group and (
            place is None or place - group[-1] > _TOGETHER * rate or place - group[0] > _LONGEST * rate
        ):  # fmt: skip
            first = max(0, group[0] - margin)
            audio = signal.read(first, min(signal.samples, group[-1] + margin) - first)
            yield from ((first, audio) for _ in group)
            group = []
        if place is not None:
            group.append(place)
