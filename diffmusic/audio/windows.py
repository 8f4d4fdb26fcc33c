"""Windows over a long recording: the excerpts to restore, with their context."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

Number = TypeVar("Number", int, float)


def merge(intervals: Iterable[tuple[Number, Number]]) -> list[tuple[Number, Number]]:
    """Merge intervals into sorted, disjoint ones: overlapping and touching ones become one, empty ones none."""
    merged: list[tuple[Number, Number]] = []
    for start, stop in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        elif stop > start:
            merged.append((start, stop))
    return merged


@dataclass(frozen=True)
class Window:
    """Excerpt ``[start, stop)`` to solve, of which ``[keep_start, keep_stop)`` is used; in samples."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def longest(length: int) -> int:
    """Return the longest damage that a window bridges: a fifth of the window is kept as context on either side."""
    return length - 2 * (length // 5)


def plan(damage: Sequence[tuple[int, int]], total: int, length: int) -> list[Window]:
    """Cover all damage with windows of ``length`` samples (or the whole recording if that is shorter).

    Neighbours share a window where they fit; two windows may overlap in their context, but each sample is kept from one
    only.

    Args:
        damage: sorted disjoint intervals in samples, none longer than ``longest(length)``.
    """
    clusters: list[tuple[int, int]] = []
    for start, stop in damage:
        if clusters and stop - clusters[-1][0] <= longest(length):
            clusters[-1] = (clusters[-1][0], stop)
        else:
            clusters.append((start, stop))
    borders = [(before[1] + after[0]) // 2 for before, after in pairwise(clusters)]
    windows = []
    for index, (start, stop) in enumerate(clusters):
        first = min(max(0, (start + stop - length) // 2), max(0, total - length))
        last = min(total, first + length)
        keep_start = max(first, borders[index - 1]) if index else first
        keep_stop = min(last, borders[index]) if index < len(borders) else last
        windows.append(Window(first, last, keep_start, keep_stop))
    return windows
