"""Clicks, pops and skips: samples that do not follow from those before them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from diffmusic.audio.defects import Defect
from diffmusic.audio.linear_prediction import extrapolate
from diffmusic.audio.signal import Signal
from diffmusic.audio.stretches import around

_ORDER, _BLOCK = 32, 2048
_WIDTH, _AROUND = 0.002, 0.03  # seconds of a click, and around it within which nothing else stands out
_STANDS_OUT = 5.0
_LOUD = 16 * 2.0**-15
_MOST = 1000
_PIECE = 1 << 18  # samples whose residual is in memory at a time
_SEEN = 0.1  # seconds on either side of a burst that it is described by, at most
# Whether the sound goes on behind it: order and context of the prediction; seconds that are predicted, and smoothed;
# how broken what follows well may be, and how much more so than just before is no click; the same of a skip.
_LONG, _CONTEXT, _AHEAD, _SMOOTH = 128, 0.03, 0.003, 0.0003
_FOLLOWS, _DIFFERENT = 0.3, 1.5
_BROKEN, _UNUSUAL = 0.5, 3.0
# What tells an attack from both: the power next to it, and how much stands out whose residual lasts a millisecond.
_NEXT, _LOUDER, _LASTING = 0.005, 10**0.45, 8.0


def residual(x: np.ndarray) -> np.ndarray:
    """``e[n] = sum_k a_k x[n - k]``, what linear prediction of order 32 leaves of a channel (time,). The filter is that
    of the block of 2048 samples around each stretch of 1024, by the autocorrelation of its Hann window."""
    hop = _BLOCK // 2
    count = -(-len(x) // hop)
    padded = np.pad(x, (hop // 2, count * hop + hop - len(x)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _BLOCK)[::hop][:count]
    filters = np.empty((count, _ORDER + 1))
    lags = np.abs(np.subtract.outer(np.arange(_ORDER), np.arange(_ORDER)))
    window = np.hanning(_BLOCK)
    for first in range(0, count, 1024):
        spectrum = np.square(np.abs(np.fft.rfft(frames[first : first + 1024] * window, 2 * _BLOCK, axis=-1)))
        r = np.fft.irfft(spectrum, axis=-1)[:, : _ORDER + 1]
        r[:, 0] = r[:, 0] * (1 + 1e-6) + 1e-9  # noise 60 dB below
        solved = np.linalg.solve(r[:, :_ORDER][:, lags], r[:, 1:, None])[..., 0]
        filters[first : first + 1024, 0] = 1
        filters[first : first + 1024, 1:] = -solved
    history = np.pad(x, (_ORDER, count * hop - len(x)))
    out = np.zeros((count, hop))
    for k in range(_ORDER + 1):
        out += filters[:, k, None] * history[_ORDER - k : _ORDER - k + count * hop].reshape(count, hop)
    return out.reshape(-1)[: len(x)]


class Bursts:
    """Short bursts of the prediction residual that stand out by five times against everything within 30 ms, of a
    recording that comes in blocks."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._width, self._around = max(8, round(_WIDTH * rate)), round(_AROUND * rate)
        self._cell = max(4, self._width // 2)
        # Pieces begin where a filter and a cell do; their margins hold all that one of their cells is compared with.
        unit = math.lcm(_BLOCK // 2, self._cell)
        self._piece = -(-_PIECE // unit) * unit
        self._margin = -(-(self._around + 2 * self._cell + _BLOCK) // unit) * unit
        self._held: list[np.ndarray] = []
        self._begin, self._next = 0, 0  # the first sample that is held, and the first that is not looked at yet
        self._peaks: list[dict[int, float]] = []

    def add(self, block: np.ndarray) -> None:
        """Take the next samples, (channels, time)."""
        self._held.append(block)
        end = self._begin + sum(each.shape[-1] for each in self._held)
        while end >= self._next + self._piece + self._margin:
            x = np.concatenate(self._held, axis=1)
            self._look(x[:, : self._next + self._piece + self._margin - self._begin], self._next + self._piece)
            self._next += self._piece
            first = max(0, self._next - self._margin)
            self._held, self._begin = [x[:, first - self._begin :]], first

    def _look(self, audio: np.ndarray, stop: int) -> None:
        """Find the bursts before sample ``stop`` in what is held."""
        self._peaks = self._peaks or [{} for _ in audio]
        cell = self._cell
        reach = max(4, self._around // cell)
        apart = np.abs(np.arange(-reach, reach + 1)) > 2
        for x, peaks in zip(audio, self._peaks, strict=True):
            e = np.abs(residual(x))
            # The largest of each millisecond or so; a click's neighbours are left out of what it is compared with.
            count = len(e) // cell
            cells = e[: count * cell].reshape(count, cell)
            top = cells.max(1)
            padded = np.pad(top, reach, mode="reflect") if count > reach else np.pad(top, reach)
            views = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
            loudest = np.maximum(views[:, apart].max(1), _LOUD / _STANDS_OUT)
            score = top / loudest
            best = np.flatnonzero((score >= _STANDS_OUT) & (top == views.max(1)))
            best = best[(best >= (self._next - self._begin) // cell) & (best < (stop - self._begin) / cell)]
            for place in best.tolist():
                peaks[self._begin + place * cell + int(cells[place].argmax())] = float(score[place])

    def clicks(self, signal: Signal, lost: Sequence[Defect] = ()) -> list[Defect]:
        """Tell clicks and skips from attacks: a click is as loud as its surroundings on neither side, where an attack
        goes on, and pulses of a waveform have equals. What goes on behind one as predicted from before it is a click;
        what does not is a skip.

        Args:
            signal: The recording whose blocks these were.
            lost: Dropouts, whose edges are no faults of their own.
        """
        self._look(np.concatenate(self._held, axis=1), signal.samples)
        self._held, width = [], self._width
        peaks: dict[int, float] = {}
        for channel in self._peaks:
            for at, score in channel.items():
                # The ends of a recording have nothing to compare with.
                if self._around < at < signal.samples - self._around:
                    peaks[at] = max(peaks.get(at, 0.0), score)
        taken = np.array([(each.start - width, each.stop + width) for each in lost]).reshape(-1, 2)
        chosen = []
        for at in sorted(peaks, key=lambda at: -peaks[at])[:_MOST]:
            if not ((taken[:, 0] < at + width) & (taken[:, 1] > at - width)).any():
                taken = np.concatenate([taken, [[at - width, at + width]]])
                chosen.append(at)
        chosen.sort()
        found = []
        read = around(signal, self._rate, chosen, width + _BLOCK + round(_SEEN * self._rate))
        for at, (first, audio) in zip(chosen, read, strict=True):
            defect = _described(audio, self._rate, at - first, peaks[at], width)
            found += [replace(defect, start=defect.start + first, stop=defect.stop + first)] if defect else []
        return sorted(found, key=lambda defect: defect.start)


def _described(audio: np.ndarray, rate: int, at: int, score: float, width: int) -> Defect | None:
    """The click or skip at a sample: how long it is, and whether the sound goes on behind it; None for an attack."""
    first, last = at, at + 1
    for x in audio:
        e = np.abs(_residual_near(x, at, width))
        above = np.flatnonzero(e > 0.2 * e.max(initial=0.0)) if e.size else np.zeros(0, dtype=int)
        if len(above) and e.max() > _LOUD / _STANDS_OUT:
            first, last = min(first, at - width + int(above[0])), max(last, at - width + int(above[-1]) + 1)
    first, last = max(at - width, first), min(at + width, last)
    start, stop = first - 2, last + 2
    confidence = float(1 - 1 / (1 + (score / _STANDS_OUT) ** 2) / 1.2)
    broken = _broken(audio, rate, start, stop)
    # An attack is louder than what it follows, or its noise lasts.
    next_to = round(_NEXT * rate)
    before, after = (
        float(np.square(audio[:, part]).mean())
        for part in (slice(max(0, start - next_to), start), slice(stop, stop + next_to))
    )
    usual = float(np.median([_broken(audio, rate, start - k * next_to, stop - k * next_to) for k in (2, 3, 4, 5, 6)]))
    lasts = stop - start > rate // 1000 and score < _LASTING and broken > max(_FOLLOWS, _DIFFERENT * usual)
    if after > _LOUDER * before or lasts:
        return None
    if broken > max(_BROKEN, _UNUSUAL * usual):
        detail = f"the sound goes on elsewhere, {score:.0f} times its surroundings"
        return Defect("skip", start, stop, round(0.8 * confidence, 3), detail)
    return Defect("click", start, stop, round(confidence, 3), f"{score:.0f} times its surroundings")


def _residual_near(x: np.ndarray, at: int, width: int) -> np.ndarray:
    """The residual of the samples within ``width`` of ``at``, by the filter of what lies before them."""
    begin = max(0, at - width - _BLOCK)
    return residual(x[begin : at + width])[-2 * width :]


def _broken(audio: np.ndarray, rate: int, start: int, stop: int) -> float:
    """How far the sound from ``stop`` on is from what prediction makes of that before ``start``, as a part of their
    power; about 1 where they have nothing to do with each other. Both are smoothed, since highs are not predicted."""
    context, ahead, smooth = (round(seconds * rate) for seconds in (_CONTEXT, _AHEAD, _SMOOTH))
    if start < context or stop + ahead > audio.shape[-1]:
        return 0.0
    error = power = 0.0
    for x in audio:
        predicted = extrapolate(x[start - context : start], stop - start + ahead, _LONG)[stop - start :]
        box = np.ones(max(1, smooth)) / max(1, smooth)
        after, predicted = (np.convolve(y, box, "valid") for y in (x[stop : stop + ahead], predicted))
        error += float(np.square(after - predicted).sum())
        power += float(np.square(after).sum() + np.square(predicted).sum())
    return error / max(power, 1e-20)
