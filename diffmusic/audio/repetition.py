"""Where a recording says again what surrounds a gap: a search by log-mel and chroma context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from diffmusic.audio.song_features import Features

CHROMA_WEIGHT = 1.0
"""Squared distance of chroma, at most 2, in the units of the mean squared difference of the log-mel."""
_GAIN = 0.69  # nats, the most that a copy is raised or lowered
_DISTINCT = 0.1  # seconds by which two candidates differ at least
_JOIN = 0.2  # seconds over which two sources have to be alike where one turns into the other


@dataclass(frozen=True)
class Candidate:
    """A place whose surroundings are like those of a gap. Distances are the mean absolute difference of the log-mel,
    nats, over the context on that side; None where that side has no context.

    shift: seconds from the gap to its source.
    """

    shift: float
    before: float | None
    after: float | None

    @property
    def distance(self) -> float:
        """Mean of the sides that there are."""
        return float(np.mean([side for side in (self.before, self.after) if side is not None]))


@dataclass(frozen=True)
class Match:
    """What a gap is to be filled with: one place, or two of which the first fits what lies before it and the second
    what lies behind it; their distance, nats; the nearest place that was not taken; how many seconds of context, on
    both sides together, were compared; and the best single places, sorted by their distance."""

    pieces: tuple[Candidate, ...]
    distance: float
    runner_up: Candidate | None
    compared: float
    others: tuple[Candidate, ...]


def shifted_distances(values: np.ndarray, known: np.ndarray, context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``d(s) = sum_t w_t v_(t+s) |F_t - F_(t+s)|^2 / sum_t w_t v_(t+s)`` for every shift ``s`` at once, by FFT.

    values: ``F``, (frames, n); known: ``v``; context: ``w``, both (frames,) of 0 and 1. Returns ``d`` for
    ``s = -(frames - 1) ... frames - 1`` and the denominator, how many frames were compared; ``d`` is infinite where it
    is 0.
    """
    frames = len(values)
    used = np.flatnonzero(context & known)
    first, last = (used[0], used[-1] + 1) if len(used) else (0, 1)
    w = (context & known)[first:last].astype(np.float64)
    v = known.astype(np.float64)
    size = next_fast_len(frames + last - first, real=True)

    def lagged(product: np.ndarray) -> np.ndarray:
        """``sum_t a_t b_(t+s)`` from ``conj(A) B``."""
        whole = irfft(product, size)
        # ``a`` begins at frame ``first``: its lag l is the shift l - first.
        lags = np.arange(-(frames - 1), frames) + first
        return np.where((lags > first - last) & (lags < frames), whole[lags % size], 0.0)

    window, there = np.conj(rfft(w, size)), rfft(v, size)
    count = np.rint(lagged(window * there))
    product, energy = np.zeros(len(there), dtype=complex), np.zeros(frames)
    # One column at a time: those of an hour are hundreds of megabytes.
    for column in values.T:
        # A common offset changes no difference, and would cost digits.
        centred = (column - column[known].mean() if known.any() else column).astype(np.float64)
        product += np.conj(rfft(centred[first:last] * w, size)) * rfft(centred * v, size)
        energy += np.square(centred)
    total = lagged(np.conj(rfft(w * energy[first:last], size)) * there + window * rfft(v * energy, size) - 2 * product)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(count > 0, np.maximum(total, 0) / count, np.inf), count


def balanced(differences: Sequence[np.ndarray]) -> tuple[np.ndarray, list[float]]:
    """The gain of each band, (bands,), nats, that the sides of a gap agree on, as a copy will be given it, and how far
    each side is from its source then: the mean absolute difference.

    differences: log-mel of each side less that of its source, (frames, bands).
    """
    means = np.stack([each.mean(0) for each in differences])
    same = np.abs(np.sign(means).sum(0)) == len(means)
    gain = np.where(same, np.sign(means[0]) * np.minimum(np.abs(means).min(0), _GAIN), 0.0)
    return gain, [float(np.abs(each - gain).mean()) for each in differences]


def candidates(
    found: Features, start: float, stop: float, context: float = 2.0, count: int = 8, sides: str = "both"
) -> list[Candidate]:
    """The ``count`` places of a recording whose surroundings are most like those of the gap ``[start, stop]`` seconds,
    sorted by their distance; places that touch lost samples or the recording's ends are none.

        s = argmin_s  mean over both sides of  d_mel(s) / bands + CHROMA_WEIGHT d_chroma(s)

    context: seconds on either side that are compared; at least half of what the gap has of them must be known at the
    candidate too. sides: "before" and "after" compare that side alone. Source: N. Perraudin et al., "Inpainting of
    long audio segments with similarity graphs", arXiv:1607.06667.
    """
    frames, hop = len(found.mel), found.hop
    centres = (np.arange(frames) + 0.5) * hop
    regions = {
        "before": (centres < start) & (centres >= start - context),
        "after": (centres >= stop) & (centres < stop + context),
    }
    regions = {side: where for side, where in regions.items() if sides in ("both", side)}
    total, weight = np.zeros(2 * frames - 1), 0
    for where in regions.values():
        if not (where & found.mel_known).any():
            continue
        mel, compared = shifted_distances(found.mel, found.mel_known, where)
        chroma, _ = shifted_distances(found.chroma, found.chroma_known, where)
        chroma = np.where(np.isfinite(chroma), chroma, 0.0)
        side = mel / found.mel.shape[1] + CHROMA_WEIGHT * chroma
        enough = compared >= 0.5 * np.count_nonzero(where & found.mel_known)
        total, weight = total + np.where(enough, side, np.inf), weight + 1
    if not weight:
        return []
    shifts = np.arange(-(frames - 1), frames)
    total = np.where(_copyable(found, start, stop, shifts), total / weight, np.inf)
    apart = round(_DISTINCT / hop)
    chosen: list[int] = []
    while len(chosen) < count and np.isfinite(total).any():
        best = int(np.argmin(total))
        chosen.append(int(shifts[best]))
        total[max(0, best - apart) : best + apart + 1] = np.inf
    return sorted((_measured(found, shift, regions) for shift in chosen), key=lambda each: each.distance)


def best_match(found: Features, start: float, stop: float, context: float = 2.0, pieces: float = 0.9) -> Match | None:
    """The best match of the gap ``[start, stop]`` seconds: one candidate, or the pair of ``pieced`` where its distance
    is below ``pieces`` times that of one. None where nothing is long enough."""
    ranked = candidates(found, start, stop, context)
    if not ranked:
        return None
    chosen: tuple[Candidate, ...] = (ranked[0],)
    distance = ranked[0].distance
    pair = pieced(found, start, stop, context) if pieces else None
    if pair and pair[2] < pieces * distance:
        chosen, distance = pair[:2], pair[2]
    centres = (np.arange(len(found.mel)) + 0.5) * found.hop
    near = ((centres >= start - context) & (centres < start)) | ((centres >= stop) & (centres < stop + context))
    compared = float(np.count_nonzero(near & found.mel_known) * found.hop)
    return Match(chosen, distance, next((each for each in ranked if each not in chosen), None), compared, tuple(ranked))


def pieced(
    found: Features, start: float, stop: float, context: float = 2.0, count: int = 8
) -> tuple[Candidate, Candidate, float] | None:
    """The two places, one like what lies before the gap and one like what lies behind it, that together fit best, and
    their distance: the mean of ``before`` of the first and ``after`` of the second, and half the difference of their
    log-mels where they are most alike within the gap, over ``_JOIN`` seconds. None where a side has no candidate."""
    firsts = candidates(found, start, stop, context, count, "before")
    seconds = candidates(found, start, stop, context, count, "after")
    begin, end = round(start / found.hop), round(stop / found.hop)
    width = min(round(_JOIN / found.hop), end - begin)
    best = None
    for first, second in product(firsts, seconds):
        rows = [
            found.mel[begin + move : end + move] for move in (round(each.shift / found.hop) for each in (first, second))
        ]
        steps = np.concatenate([[0.0], np.cumsum(np.abs(rows[0] - rows[1]).mean(1))])
        join = float((steps[width:] - steps[:-width]).min()) / width if width else 0.0
        distance = (first.distance + second.distance + join) / 2
        if best is None or distance < best[2]:
            best = first, second, distance
    return best


def _copyable(found: Features, start: float, stop: float, shifts: np.ndarray) -> np.ndarray:
    """Which shifts lead to a source that is all there, with two frames to spare for alignment."""
    frames = len(found.mel)
    missing = np.concatenate([[0], np.cumsum(~found.mel_known)])
    first = int(np.floor(start / found.hop)) - 2 + shifts
    last = int(np.ceil(stop / found.hop)) + 2 + shifts
    inside = (first >= 0) & (last <= frames)
    held = missing[np.clip(last, 0, frames)] - missing[np.clip(first, 0, frames)] == 0
    result: np.ndarray = inside & held
    return result


def _measured(found: Features, shift: int, regions: dict[str, np.ndarray]) -> Candidate:
    sides: dict[str, float | None] = {"before": None, "after": None}
    for side, where in regions.items():
        own = np.flatnonzero(where & found.mel_known)
        own = own[(own + shift >= 0) & (own + shift < len(found.mel))]
        own = own[found.mel_known[own + shift]]
        if len(own):
            sides[side] = float(np.abs(found.mel[own] - found.mel[own + shift]).mean())
    return Candidate(shift * found.hop, sides["before"], sides["after"])
