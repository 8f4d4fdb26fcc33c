"""Faults that a recording shows by itself: dropouts, clipping, a missing upper band. Clicks are in
``diffmusic.audio.clicks``. A recording is read in blocks, (channels, time), full scale 1: what has to be known of all
of it is gathered first, and the places that it leads to are looked at after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from diffmusic.audio.signal import Signal
from diffmusic.audio.stretches import Stretches, around
from diffmusic.audio.windows import merge

Kind = Literal["dropout", "click", "skip", "clipping", "dull"]

_STEP = 2.0**-15  # of 16 bits
# Dropouts: seconds of the shortest; samples next to it that must not have faded, and those that they are compared with.
_SHORTEST = 0.001
_EDGE, _AROUND = 0.001, 0.05
_FADED = 0.2
_LOUD = 16 * _STEP
_OFTEN = 4.0  # runs a second; more are how the music sounds
# Clipping: samples at one level in a row, how near to it they are, and how much of the music has them on purpose.
_FLAT, _NEAR, _THROUGHOUT, _FULL = 3, 1e-4, 0.3, 0.97
# A missing band: frames of the spectrum, the drop in dB, within so many Hz, and the highest edge that is one.
_FRAME, _DROP, _WITHIN, _HIGHEST, _NYQUIST = 4096, 30.0, 1000.0, 15_000.0, 0.9


@dataclass(frozen=True)
class Defect:
    """A fault.

    start, stop: samples. confidence: 0 to 1. detail: what it is like, for a reader; value: the level of clipping, or
    the edge of the band in Hz.
    """

    kind: Kind
    start: int
    stop: int
    confidence: float
    detail: str
    value: float | None = None


class Runs:
    """Stretches of each channel in which no sample differs from the one before it by more than a step of 16 bits does
    from 0, and the channels' peaks, of a recording that comes in blocks."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._last: np.ndarray | None = None
        self._still: list[Stretches] = []
        self.peaks = np.zeros(0)

    def add(self, block: np.ndarray) -> None:
        """Take the next samples, (channels, time)."""
        if self._last is None:
            self._still, self.peaks = [Stretches() for _ in block], np.zeros(len(block))
        x = block if self._last is None else np.concatenate([self._last, block], axis=1)
        for still, channel in zip(self._still, x, strict=True):
            still.add(np.abs(np.diff(channel)) <= _STEP * 1e-3)
        self._last = x[:, -1:]
        self.peaks = np.maximum(self.peaks, np.abs(block).max(axis=1, initial=0.0))

    def dropouts(self, signal: Signal) -> list[Defect]:
        """Runs of zeros or of one repeated sample that the sound breaks off into and out of.

        A run counts where the millisecond on either side of it is at least a fifth as loud as the 50 ms there: music
        that ends, pauses or fades out has faded before it is silent, and at the recording's ends there is no other
        side. Runs at the channel's peak are clipping. Where runs are frequent in a channel (square waves), they are
        music.

        Args:
            signal: The recording whose blocks these were.
        """
        found: dict[tuple[int, int], int] = {}
        for channel, still in enumerate(self._still):
            runs = self._broken(signal, channel, still.found())
            if len(runs) <= max(20.0, _OFTEN * signal.samples / self._rate):
                for run in runs:
                    found[run] = found.get(run, 0) + 1
        defects = []
        for start, stop in merge(found):
            channels = max(count for (a, b), count in found.items() if a >= start and b <= stop)
            whole = channels == signal.channels
            what = "in every channel" if whole else f"in {channels} of {signal.channels} channels"
            defects.append(Defect("dropout", start, stop, 0.95 if whole else 0.7, f"{what}, one value throughout"))
        return defects

    def _broken(self, signal: Signal, channel: int, still: np.ndarray) -> list[tuple[int, int]]:
        shortest, edge, reach = (max(8, round(seconds * self._rate)) for seconds in (_SHORTEST, _EDGE, _AROUND))
        starts, stops = still[:, 0], still[:, 1] + 1
        there = (stops - starts >= shortest) & (starts > 0) & (stops < signal.samples)
        runs, broke = {}, {}
        starts, stops, peak = starts[there], stops[there], float(self.peaks[channel])
        for start, stop, (first, audio) in zip(
            starts.tolist(), stops.tolist(), around(signal, self._rate, starts.tolist(), reach + 1), strict=True
        ):  # fmt: skip
            x, at = audio[channel], start - first
            if 0 < peak * 0.98 <= abs(x[at]):
                continue
            # The first sample of a run of repeats was the last true one.
            shift = 0 if abs(x[at]) <= _STEP else 1
            side = x[max(0, at + shift - reach) : at + shift]
            if len(side) > edge and _breaks_off(side, edge):
                runs[stop] = start + shift
                broke[stop] = abs(x[at + shift] - x[at + shift - 1]) >= 1.5 * _STEP
        kept = []
        for stop, (first, audio) in zip(runs, around(signal, self._rate, list(runs), reach), strict=True):
            x, at = audio[channel], stop - first
            # A slow wave of few steps stands still by itself, and goes on by one.
            if abs(x[at] - x[at - 1]) < 1.5 * _STEP and not broke.get(stop):
                continue
            side = x[at : at + reach][::-1]
            if len(side) > edge and _breaks_off(side, edge):
                kept.append((runs[stop], stop))
        return kept


def _breaks_off(side: np.ndarray, edge: int) -> bool:
    """Whether a sound that ends with its last sample is still loud there."""
    near, all_of_it = (float(np.sqrt(np.square(x).mean())) for x in (side[-edge:], side))
    return near > max(_LOUD, _FADED * all_of_it)


def clipping(signal: Signal, rate: int, peaks: np.ndarray) -> list[Defect]:
    """Flat tops: ``_FLAT`` samples or more in a row at the channel's peak. Where they are found all over a recording
    whose peak is full scale, it was mastered that way, and that is one entry that says so.

    peaks: of each channel.
    """
    flat = {(k, sign): Stretches() for k, peak in enumerate(peaks) if peak >= _LOUD for sign in (1, -1)}
    for block in signal.blocks() if flat else ():
        for (k, sign), stretches in flat.items():
            stretches.add(sign * block[k] >= peaks[k] * (1 - _NEAR))
    found = np.concatenate([np.zeros((0, 2), dtype=int), *(each.found() for each in flat.values())])
    places = [(int(a), int(b)) for a, b in found[found[:, 1] - found[:, 0] >= _FLAT]]
    if not places:
        return []
    level, length = float(peaks.max()), signal.samples
    pad = rate // 10
    merged = merge((a - pad, b + pad) for a, b in places)
    regions = [(max(0, a + pad), min(length, b - pad)) for a, b in merged]
    blocks = max(1, length // rate)
    share = len({min(blocks - 1, a // rate) for a, _ in places}) / blocks
    samples = sum(b - a for a, b in places)
    if share >= _THROUGHOUT and level >= _FULL:
        detail = f"{samples} samples at {level:.3f}, in {share:.0%} of the seconds: mastered that loud, on purpose"
        return [Defect("clipping", 0, length, 0.5, detail, level)]
    # A single flat top may be a peak that happens to be one.
    confidence = min(0.95, 0.5 + 0.05 * len(places))
    return [Defect("clipping", a, b, confidence, f"flat tops at {level:.3f}", level) for a, b in regions]


class Loudness:
    """Mean square of each ``_FRAME`` samples of a recording that comes in blocks."""

    def __init__(self) -> None:
        self._rest: np.ndarray | None = None
        self._loud: list[np.ndarray] = []

    def add(self, block: np.ndarray) -> None:
        """Take the next samples, (channels, time)."""
        x = block if self._rest is None else np.concatenate([self._rest, block], axis=1)
        frames = x.shape[-1] // _FRAME
        self._loud.append(np.square(x[:, : frames * _FRAME].reshape(len(x), frames, _FRAME)).mean((0, 2)))
        self._rest = x[:, frames * _FRAME :]

    def dull(self, signal: Signal, rate: int) -> list[Defect]:
        """An upper band that is missing: the mean spectrum of the loudest frames drops by ``_DROP`` dB within a kHz,
        below 15 kHz and below nine tenths of the Nyquist frequency, and does not come back.

        Args:
            signal: The recording whose blocks these were.
            rate: Hz.
        """
        size, loud = _FRAME, np.concatenate(self._loud)
        if len(loud) < 8:
            return []
        chosen = np.sort(np.argsort(loud)[-min(len(loud), 400) :])
        power, window = np.zeros(size // 2 + 1), np.hanning(size)
        for frame, (first, audio) in zip(
            chosen.tolist(), around(signal, rate, (chosen * size).tolist(), size), strict=True
        ):
            x = audio[:, frame * size - first : (frame + 1) * size - first]
            power += np.square(np.abs(np.fft.rfft(x * window, axis=-1))).mean(0) / len(chosen)
        edge = _edge(power, rate)
        if edge is None:
            return []
        hertz, drop = edge
        detail = f"nothing above {hertz / 1000:.1f} kHz"
        return [Defect("dull", 0, signal.samples, float(min(0.95, drop / 60)), detail, hertz)]


def _edge(power: np.ndarray, rate: int) -> tuple[float, float] | None:
    """Where a mean spectrum drops for good, Hz, and by how many dB; None where it does not."""
    size = _FRAME
    hertz = np.fft.rfftfreq(size, 1 / rate)
    width = max(1, round(200 * size / rate))
    level = 10 * np.log10(np.convolve(power, np.ones(width) / width, "same") + 1e-20)
    step = round(_WITHIN * size / rate)
    limit = min(_HIGHEST, _NYQUIST * rate / 2)
    highest = np.maximum.accumulate(level[::-1])[::-1]  # of all above a bin
    drops = level[:-step] - highest[step:]
    below = np.flatnonzero((hertz[:-step] + _WITHIN / 2 < limit) & (hertz[:-step] > 500) & (drops >= _DROP))
    if not len(below):
        return None
    best = below[np.argmax(drops[below])]
    return float(hertz[best] + _WITHIN / 2), float(drops[best])
