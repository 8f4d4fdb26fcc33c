"""Copying into a gap from elsewhere in the recording: balance, seams, and the cut between two copies. All audio is
(channels, time), float64; what is done to one channel is done to all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from diffmusic.audio import equalise
from diffmusic.audio.alignment import alignment, runs
from diffmusic.audio.consensus import Consensus
from diffmusic.audio.linear_prediction import extrapolate
from diffmusic.audio.repetition import Match
from diffmusic.audio.signal import Signal

_AROUND, _SHORTEST = 1.0, 0.25  # seconds on either side that tell the balance, and the least there must be of them
_INAUDIBLE = 0.01  # dB
_RESIDUAL, _ORDER = 0.1, 256  # seconds of context, and order, of the linear prediction at a seam
_FADE = 0.05  # seconds over which one copy turns into another


def spliced(
    audio: Signal,
    rate: int,
    lost: Sequence[tuple[int, int]],
    gap: tuple[int, int],
    shifts: tuple[int, int],
    crossfade: float = 0.02,
    consensus: Consensus | None = None,
) -> np.ndarray:
    """What a gap is filled with, (channels, samples): copies moved by the two ``shifts``, one from either edge.

    Each copy is equalised by how the sound next to the gap differs from that next to the source. Where the shifts are
    equal there is one copy, equalised by what both sides agree on; else one copy turns into the other where they differ
    least. At each edge the difference of the observed sound and the copy is continued by linear prediction and fades
    out within ``crossfade`` seconds, inside the gap: where the recording repeats exactly, the copy is exact to the last
    sample.
    """
    count = gap[1] - gap[0]
    left = _Copy(audio, rate, lost, gap, shifts[0], (0, 1) if shifts[0] == shifts[1] else (0,))
    right = left if shifts[0] == shifts[1] else _Copy(audio, rate, lost, gap, shifts[1], (1,))
    fill = left.inside if right is left else joined(left.inside, right.inside, rate)
    fill = consensus.applied(fill, rate) if consensus else fill
    fade = min(round(crossfade * rate), count // 2)
    if fade:
        fall = 0.5 + 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
        fill = fill.copy()
        fill[:, :fade] += fall * _continued(left.residual(0), fade)
        fill[:, count - fade :] += (fall * _continued(right.residual(1)[:, ::-1], fade))[:, ::-1]
    return fill


class _Copy:
    """A gap and its surroundings as they are ``shift`` samples further on, equalised by the sides (0: before the gap,
    1: behind it) that it is to fit."""

    def __init__(
        self,
        audio: Signal,
        rate: int,
        lost: Sequence[tuple[int, int]],
        gap: tuple[int, int],
        shift: int,
        sides: tuple[int, ...],
    ) -> None:
        own, there = (runs(lost, audio.samples, gap[0] + move, gap[1] + move) for move in (0, shift))
        self.reach = [min(round(_AROUND * rate), a, b) for a, b in zip(own, there, strict=True)]
        first, last = gap[0] - self.reach[0], gap[1] + self.reach[1]
        self.rate, self.edges = rate, (gap[0] - first, gap[1] - first)
        self.observed, source = audio.read(first, last - first), audio.read(first + shift, last - first)
        parts = slice(None, self.edges[0]), slice(self.edges[1], None)
        curves = [
            equalise.gains(source[:, parts[side]].reshape(-1), self.observed[:, parts[side]].reshape(-1), rate)
            for side in sides
            if self.reach[side] >= _SHORTEST * rate
        ]
        agreed = _agreed([decibels for _, decibels in curves]) if curves else np.zeros(1)
        if agreed.any():
            source = np.stack([equalise.apply(row, curves[0][0], agreed, rate) for row in source])
        self.source = source

    @property
    def inside(self) -> np.ndarray:
        """The copy within the gap."""
        return self.source[:, self.edges[0] : self.edges[1]]

    def residual(self, side: int) -> np.ndarray:
        """What the copy lacks of the observed sound next to the gap on that side."""
        reach = min(round(_RESIDUAL * self.rate), self.reach[side])
        edge = self.edges[side]
        part = slice(edge - reach, edge) if side == 0 else slice(edge, edge + reach)
        return self.observed[:, part] - self.source[:, part]


def _agreed(curves: Sequence[np.ndarray]) -> np.ndarray:
    """In each band the smallest gain of all, in dB, where all have one sign, and none elsewhere."""
    stacked = np.stack(curves)
    # What is equal differs by rounding errors, and is to stay as it is.
    stacked[np.abs(stacked) < _INAUDIBLE] = 0.0
    same = np.abs(np.sign(stacked).sum(0)) == len(stacked)
    result: np.ndarray = np.where(same, np.sign(stacked[0]) * np.abs(stacked).min(0), 0.0)
    return result


def _continued(residual: np.ndarray, count: int) -> np.ndarray:
    return np.stack([extrapolate(row, count, _ORDER) for row in residual])


def joined(left: np.ndarray, right: np.ndarray, rate: int) -> np.ndarray:
    """One sound that begins as ``left`` and ends as ``right``, both (channels, samples): they cross where they differ
    least, ``argmin_t sum |left - right|^2 / sum |left|^2 + |right|^2`` over the width of the fade, at a constant power
    for the correlation that they have there."""
    count = left.shape[-1]
    width = max(1, min(round(_FADE * rate), count // 4))

    def summed(x: np.ndarray) -> np.ndarray:
        total = np.concatenate([[0.0], np.cumsum(x.sum(0))])
        result: np.ndarray = total[width:] - total[:-width]
        return result

    powers = summed(np.square(left)), summed(np.square(right))
    cost = summed(np.square(left - right)) / (powers[0] + powers[1] + 1e-12)
    at = int(np.argmin(cost))
    product = summed(left * right)[at] / np.sqrt(powers[0][at] * powers[1][at] + 1e-24)
    rise = np.concatenate([np.zeros(at), (np.arange(width) + 0.5) / width, np.ones(count - at - width)])
    rise = 0.5 - 0.5 * np.cos(np.pi * rise)
    scale = np.sqrt((1 - rise) ** 2 + rise**2 + 2 * np.clip(product, 0, 1) * rise * (1 - rise))
    result: np.ndarray = ((1 - rise) * left + rise * right) / scale
    return result


def copied(
    audio: Signal,
    rate: int,
    lost: Sequence[tuple[int, int]],
    gap: tuple[int, int],
    match: Match,
    crossfade: float = 0.02,
    consensus: Consensus | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """What a gap, in samples, is filled with from its match, (channels, samples), and what there is to say of it: the
    ``source``, seconds at which what was copied begins, the ``distance`` of the context, the ``correlation`` of the
    aligned sides, and the ``runner_up``, in JSON values."""
    aligned = [alignment(audio, rate, lost, gap, round(each.shift * rate)) for each in match.pieces]
    shifts = aligned[0][0], aligned[-1][1]
    start, stop = gap[0] / rate, gap[1] / rate
    sources = [start + shift / rate for shift in dict.fromkeys(shifts)]
    other = match.runner_up
    places = " and ".join(f"{source:.2f} s" for source in sources)
    note = {
        "gap": [start, stop],
        "source": sources,
        "distance": match.distance,
        "correlation": [aligned[0][2], aligned[-1][3]],
        "runner_up": {"source": start + other.shift, "distance": other.distance} if other else None,
        "text": f"{start:.2f}-{stop:.2f} s: copied from {places}, context distance {match.distance:.2f}"
        + (f" (next best {other.distance:.2f})" if other else ""),
    }
    return spliced(audio, rate, lost, gap, shifts, crossfade, consensus), note
