"""A gap and the places that are like it, compared to the sample: shifts by correlation, and how far the context is once
it is aligned. All audio is (channels, time), float64. Only what lies around a gap and around its sources is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.signal import correlate

from diffmusic.audio.repetition import Candidate, Match, balanced
from diffmusic.audio.signal import Signal
from diffmusic.audio.song_features import log_mel

_ALIGNED = 0.5  # seconds on either side that are aligned
_REACH = 0.025  # seconds by which alignment may move a source: a frame of the search, and some more
_APART = 0.1  # two alignments, one a side, have to be better than one for both by so much correlation in all
_COUNT = 3  # places that are compared once more
_EDGE = 2  # frames at the ends of a stretch that see beyond it


def runs(lost: Sequence[tuple[int, int]], length: int, start: int, stop: int) -> tuple[int, int]:
    """How many observed samples lie in a row before ``start``, and from ``stop`` on, in a recording of ``length``."""
    before, after = start, length - stop
    for first, last in lost:
        if first < start:
            before = min(before, max(0, start - last))
        if last > stop:
            after = min(after, max(0, first - stop))
    return before, after


def alignment(
    audio: Signal, rate: int, lost: Sequence[tuple[int, int]], gap: tuple[int, int], shift: int
) -> tuple[int, int, float | None, float | None]:
    """The shifts, in samples, near ``shift`` at which the recording is most like what lies before and behind a gap.

        c(d) = sum_n x[n] x[n + d] / sqrt(sum_n x[n]^2 sum_n x[n + d]^2),   n over the context, products over channels

    One shift serves both sides unless two are clearly better. Returns both shifts, and the correlation of each side;
    None where a side has no context.
    """
    reach = round(_REACH * rate)
    kept = [min(round(_ALIGNED * rate), run) for run in runs(lost, audio.samples, *gap)]
    curves = [
        _correlations(audio, first, last, shift, reach) if last - first > reach else None
        for first, last in ((gap[0] - kept[0], gap[0]), (gap[1], gap[1] + kept[1]))
    ]
    present = [curve for curve in curves if curve is not None]
    if not present:
        return shift, shift, None, None
    joint = int(np.argmax(np.sum(present, axis=0)))
    best = [joint if curve is None else int(np.argmax(curve)) for curve in curves]
    gained = sum(float(curve[at] - curve[joint]) for curve, at in zip(curves, best, strict=True) if curve is not None)
    if gained < _APART or len(present) < 2:
        best = [joint, joint]
    found = [None if curve is None else float(curve[at]) for curve, at in zip(curves, best, strict=True)]
    return shift + best[0] - reach, shift + best[1] - reach, found[0], found[1]


def _correlations(audio: Signal, first: int, last: int, shift: int, reach: int) -> np.ndarray:
    """Normalised correlation of a stretch with where ``shift - reach ... shift + reach`` moves it."""
    begin, end = first + shift - reach, last + shift + reach
    region = np.zeros((audio.channels, end - begin))
    inside = slice(max(0, begin), max(0, min(audio.samples, end)))
    if inside.stop > inside.start:
        found = audio.read(inside.start, inside.stop - inside.start)
        region[:, inside.start - begin : inside.stop - begin] = found
    own = audio.read(first, last - first)
    products = sum(correlate(y, x, "valid", "fft") for x, y in zip(own, region, strict=True))
    energy = np.concatenate([[0.0], np.cumsum(np.square(region).sum(0))])
    energies = energy[last - first :] - energy[: len(energy) - (last - first)]
    scale = np.sqrt(np.maximum(np.square(own).sum() * energies, 0))
    result: np.ndarray = products / np.maximum(scale, 1e-12)
    return np.where(scale > 1e-9, result, 0.0)


def refined(
    audio: Signal,
    rate: int,
    lost: Sequence[tuple[int, int]],
    gap: tuple[int, int],
    match: Match,
    context: float = 2.0,
    pieces: float = 0.9,
) -> Match:
    """Compare the best places of a search once more as they will be copied, aligned to the sample and with the bands
    that both sides would raise: what lies between two frames of the search, 20 ms apart, looks less alike than it is.
    What repeats exactly has a distance of 0."""

    def compared(each: Candidate) -> Candidate:
        shifts = alignment(audio, rate, lost, gap, round(each.shift * rate))[:2]
        found = [_difference(audio, rate, lost, gap, shift, side, context) for side, shift in enumerate(shifts)]
        sides = [n for n in (0, 1) if len(found[n])]
        if not sides:
            return each
        distances = dict(zip(sides, balanced([found[n] for n in sides])[1], strict=True))
        return replace(each, before=distances.get(0), after=distances.get(1))

    ranked = sorted((compared(each) for each in match.others[:_COUNT]), key=lambda each: each.distance)
    chosen, distance = ranked[:1], ranked[0].distance
    if len(match.pieces) == 2:
        first, second = (compared(each) for each in match.pieces)
        join = 2 * match.distance - sum(
            side for side in (match.pieces[0].before, match.pieces[1].after) if side is not None
        )
        if first.before is not None and second.after is not None:
            both = (first.before + second.after + join) / 2
            chosen, distance = ([first, second], both) if both < pieces * distance else (chosen, distance)
    rest = [each for each in (*ranked, *match.others[_COUNT:]) if each not in chosen]
    return replace(
        match,
        pieces=tuple(chosen),
        distance=distance,
        runner_up=min(rest, key=lambda each: each.distance, default=None),
        others=(*ranked, *match.others[_COUNT:]),
    )


def _difference(
    audio: Signal,
    rate: int,
    lost: Sequence[tuple[int, int]],
    gap: tuple[int, int],
    shift: int,
    side: int,
    context: float,
) -> np.ndarray:
    """Log-mel of what lies on one side of a gap (0: before) less that of what lies ``shift`` samples from it, (frames,
    bands); no frames where they share next to nothing."""
    own, there = (runs(lost, audio.samples, gap[0] + move, gap[1] + move)[side] for move in (0, shift))
    length = min(round(context * rate), own, there)
    start = gap[0] - length if side == 0 else gap[1]
    mels = [log_mel(audio.read(at, length), rate)[_EDGE:-_EDGE] for at in (start, start + shift)]
    return mels[0] - mels[1]
