"""Clicks, pops and skips: samples that do not follow from those before them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import maximum_filter1d, median_filter

from diffmusic.audio.bursts import AROUND, BLOCK, EQUALS, FAINT, ORDER, Burst, residual
from diffmusic.audio.defects import Defect
from diffmusic.audio.linear_prediction import extrapolate
from diffmusic.audio.signal import Signal
from diffmusic.audio.stretches import around

_LOUD = 3 * 2.0**-15
_WIDTH, _STANDS_OUT = 0.002, 5.0  # seconds within which nothing is higher, and how far above the background
_LEVEL = 0.01  # seconds of a median of the residual
_MOST = 1000
_PIECE = 1 << 18  # samples whose residual is in memory at a time
_SEEN = 0.1  # seconds on either side of a burst that tell a skip
# Whether the sound goes on behind it: seconds beside it; order and context of the prediction; seconds predicted, and
# smoothed; how broken what follows is where it is a skip, and how much more so than what just went before.
_NEXT, _LONG, _CONTEXT, _AHEAD, _SMOOTH = 0.005, 128, 0.03, 0.003, 0.0003
_BROKEN, _UNUSUAL = 0.5, 3.0


class Bursts:
    """Peaks of the prediction residual that stand out of the background around them, of a recording that comes in
    blocks."""

    def __init__(self, rate: int, faint: float = FAINT) -> None:
        self._rate, self._faint = rate, faint
        self._width = max(8, round(_WIDTH * rate))
        self._cell = max(8, round(_LEVEL * rate))
        # Pieces begin where a filter and a cell do; their margins hold all that one of their peaks is compared with.
        unit = math.lcm(BLOCK // 2, self._cell)
        self._piece = -(-_PIECE // unit) * unit
        self._margin = -(-(8 * self._cell + round(EQUALS[1] * rate) + 4 * BLOCK) // unit) * unit
        self._held: list[np.ndarray] = []
        self._begin, self._next = 0, 0  # the first sample that is held, and the first that is not looked at yet
        self.found: list[Burst] = []

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
        """Find the bursts before sample ``stop`` in what is held, which may be faults."""
        cell, margin = self._cell, round(AROUND * self._rate) + 2 * ORDER
        for x in audio:
            e = np.abs(residual(x))
            if len(e) < cell:
                continue
            levels = median_filter(np.median(e[: len(e) // cell * cell].reshape(-1, cell), axis=1), 7) / 0.6745
            level = np.pad(np.repeat(levels, cell), (0, len(e) % cell), mode="edge")
            highest = maximum_filter1d(e, 2 * self._width + 1)
            peaks = np.flatnonzero((e == highest) & (e > np.maximum(_STANDS_OUT * level, _LOUD)))
            for at in peaks[(peaks >= self._next - self._begin) & (peaks < stop - self._begin)].tolist():
                # The ends of a recording have nothing to compare with.
                burst = Burst.of(x, self._rate, at, self._begin, self._faint) if margin < at < len(x) - margin else None
                if burst is not None and burst.score >= -self._faint:
                    self.found.append(burst)

    def clicks(self, signal: Signal, lost: Sequence[Defect] = ()) -> list[Defect]:
        """Tell clicks and skips from music by ``Burst.score``. What goes on behind one as predicted from before it is a
        click; what does not is a skip. Those with a confidence of 0.2 and more are listed; 0.5 is one false alarm in a
        minute.

        Args:
            signal: The recording whose blocks these were.
            lost: Dropouts, whose edges are no faults of their own.
        """
        self._look(np.concatenate(self._held, axis=1), signal.samples)
        width, chosen = self._width, list[Burst]()
        taken = np.array([(each.start - width, each.stop + width) for each in lost]).reshape(-1, 2)
        for burst in sorted(self.found, key=lambda burst: (-burst.score, burst.start)):
            if len(chosen) == _MOST:
                break
            if not ((taken[:, 0] < burst.stop) & (taken[:, 1] > burst.start)).any():
                taken = np.concatenate([taken, [[burst.start - width, burst.stop + width]]])
                chosen.append(burst)
        chosen.sort(key=lambda burst: burst.start)
        places, found = [burst.start for burst in chosen], []
        read = around(signal, self._rate, places, width + round(_SEEN * self._rate))
        for burst, (first, audio) in zip(chosen, read, strict=True):
            start, stop = burst.start - 2, burst.stop + 2
            confidence = round(float(1 / (1 + np.exp(-burst.score))), 3)
            if _goes_on_elsewhere(audio, self._rate, start - first, stop - first):
                found.append(Defect("skip", start, stop, confidence, "the sound goes on elsewhere"))
            else:
                detail = f"{burst.height:.0f} times the background of its prediction"
                found.append(Defect("click", start, stop, confidence, detail))
        return found


def _goes_on_elsewhere(audio: np.ndarray, rate: int, start: int, stop: int) -> bool:
    """Whether the sound behind a place is not what it was going to be, and less so than just before it."""
    step = round(_NEXT * rate)
    usual = float(np.median([_broken(audio, rate, start - k * step, stop - k * step) for k in (2, 3, 4, 5, 6)]))
    return _broken(audio, rate, start, stop) > max(_BROKEN, _UNUSUAL * usual)


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
