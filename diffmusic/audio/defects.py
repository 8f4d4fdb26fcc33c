"""Faults that a recording shows by itself: dropouts, clipping, a missing upper band. Clicks are in
``diffmusic.audio.clicks``. All audio is (channels, time), full scale 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

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


def constant_runs(x: np.ndarray, shortest: int) -> list[tuple[int, int]]:
    """Stretches of a channel (time,) in which no sample differs from the one before it by more than a step of 16 bits
    does from 0, of ``shortest`` samples at least."""
    still = np.abs(np.diff(x)) <= _STEP * 1e-3
    edges = np.flatnonzero(np.diff(np.concatenate([[0], still.astype(np.int8), [0]])))
    return [(int(a), int(b) + 1) for a, b in zip(edges[::2], edges[1::2], strict=True) if b + 1 - a >= shortest]


def dropouts(audio: np.ndarray, rate: int) -> list[Defect]:
    """Runs of zeros or of one repeated sample that the sound breaks off into and out of.

    A run counts where the millisecond on either side of it is at least a fifth as loud as the 50 ms there: music that
    ends, pauses or fades out has faded before it is silent, and at the recording's ends there is no other side. Runs at
    the channel's peak are clipping. Where runs are frequent in a channel (square waves), they are music.
    """
    shortest, edge, around = (max(8, round(seconds * rate)) for seconds in (_SHORTEST, _EDGE, _AROUND))
    seconds = audio.shape[-1] / rate
    found: dict[tuple[int, int], int] = {}
    for x in audio:
        peak = float(np.abs(x).max(initial=0.0))
        runs = []
        for start, stop in constant_runs(x, shortest):
            if start == 0 or stop == len(x) or (0 < peak * 0.98 <= abs(x[start])):
                continue
            # The first sample of a run of repeats was the last true one.
            start += 0 if abs(x[start]) <= _STEP else 1
            sides = (x[max(0, start - around) : start], x[stop : stop + around][::-1])
            if all(len(side) > edge and _breaks_off(side, edge) for side in sides):
                runs.append((start, stop))
        if len(runs) <= max(20.0, _OFTEN * seconds):
            for run in runs:
                found[run] = found.get(run, 0) + 1
    defects = []
    for start, stop in merge(found):
        channels = max(count for (a, b), count in found.items() if a >= start and b <= stop)
        whole = channels == len(audio)
        what = "in every channel" if whole else f"in {channels} of {len(audio)} channels"
        defects.append(Defect("dropout", start, stop, 0.95 if whole else 0.7, f"{what}, one value throughout"))
    return defects


def _breaks_off(side: np.ndarray, edge: int) -> bool:
    """Whether a sound that ends with its last sample is still loud there."""
    near, all_of_it = (float(np.sqrt(np.square(x).mean())) for x in (side[-edge:], side))
    return near > max(_LOUD, _FADED * all_of_it)


def clipping(audio: np.ndarray, rate: int) -> list[Defect]:
    """Flat tops: ``_FLAT`` samples or more in a row at the channel's peak. Where they are found all over a recording
    whose peak is full scale, it was mastered that way, and that is one entry that says so."""
    places: list[tuple[int, int]] = []
    for x in audio:
        peak = float(np.abs(x).max(initial=0.0))
        if peak < _LOUD:
            continue
        for sign in (1, -1):
            flat = sign * x >= peak * (1 - _NEAR)
            edges = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(np.int8), [0]])))
            places += [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= _FLAT]
    if not places:
        return []
    level = float(np.abs(audio).max())
    pad = rate // 10
    merged = merge((a - pad, b + pad) for a, b in places)
    regions = [(max(0, a + pad), min(audio.shape[-1], b - pad)) for a, b in merged]
    blocks = max(1, audio.shape[-1] // rate)
    share = len({min(blocks - 1, a // rate) for a, _ in places}) / blocks
    samples = sum(b - a for a, b in places)
    if share >= _THROUGHOUT and level >= _FULL:
        detail = f"{samples} samples at {level:.3f}, in {share:.0%} of the seconds: mastered that loud, on purpose"
        return [Defect("clipping", 0, audio.shape[-1], 0.5, detail, level)]
    # A single flat top may be a peak that happens to be one.
    confidence = min(0.95, 0.5 + 0.05 * len(places))
    return [Defect("clipping", a, b, confidence, f"flat tops at {level:.3f}", level) for a, b in regions]


def dull(audio: np.ndarray, rate: int) -> list[Defect]:
    """An upper band that is missing: the mean spectrum drops by ``_DROP`` dB within a kHz, below 15 kHz and below nine
    tenths of the Nyquist frequency, and does not come back."""
    size = _FRAME
    frames = audio.shape[-1] // size
    if frames < 8:
        return []
    x = audio[:, : frames * size].reshape(len(audio), frames, size)
    loud = np.square(x).mean((0, 2))
    chosen = np.argsort(loud)[-min(frames, 400) :]
    power = np.square(np.abs(np.fft.rfft(x[:, chosen] * np.hanning(size), axis=-1))).mean((0, 1))
    hertz = np.fft.rfftfreq(size, 1 / rate)
    width = max(1, round(200 * size / rate))
    level = 10 * np.log10(np.convolve(power, np.ones(width) / width, "same") + 1e-20)
    step = round(_WITHIN * size / rate)
    limit = min(_HIGHEST, _NYQUIST * rate / 2)
    highest = np.maximum.accumulate(level[::-1])[::-1]  # of all above a bin
    drops = level[:-step] - highest[step:]
    below = np.flatnonzero((hertz[:-step] + _WITHIN / 2 < limit) & (hertz[:-step] > 500) & (drops >= _DROP))
    if not len(below):
        return []
    best = below[np.argmax(drops[below])]
    edge = float(hertz[best] + _WITHIN / 2)
    detail = f"nothing above {edge / 1000:.1f} kHz"
    return [Defect("dull", 0, audio.shape[-1], float(min(0.95, drops[best] / 60)), detail, edge)]
