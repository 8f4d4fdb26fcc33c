"""Bursts of the prediction residual, and what tells a fault from music in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffmusic.audio.linear_prediction import interpolated

ORDER, BLOCK = 32, 2048
"""Of the prediction, and samples that a filter is fitted to."""
AROUND, EQUALS = 0.03, (0.015, 0.12)
"""Seconds that tell the background of a burst, and those within which pulses and drums have their equals."""
# What of the residual belongs to one: parts of its height and of the background; samples, and seconds, between.
_PART, _ABOVE, _APART, _LONGEST = 0.15, 3.0, 10, 0.006
_NEXT, _BESIDE = 0.005, 0.008  # seconds beside it
# ln of the odds, with weights of `python -m benchmarks.detection FOLDER --weights`: 0 is one false alarm in a minute.
_ALL, _MADE, _ALONE, _NOISY, _HEARD = -3.5, 1.8, 0.3, -1.5, 0.53
_AT_BEST = 4.5  # of what takes an interpolation
FAINT = 1.4
"""Of the odds that are listed, a confidence of 0.2."""


def filters(frames: np.ndarray) -> np.ndarray:
    """Prediction-error filters ``(1, a_1, ..., a_32)`` of blocks of 2048 samples, (blocks, 2048), by the
    autocorrelation of their Hann windows."""
    found = np.empty((len(frames), ORDER + 1))
    lags = np.abs(np.subtract.outer(np.arange(ORDER), np.arange(ORDER)))
    window = np.hanning(BLOCK)
    for first in range(0, len(frames), 1024):
        spectrum = np.square(np.abs(np.fft.rfft(frames[first : first + 1024] * window, 2 * BLOCK, axis=-1)))
        r = np.fft.irfft(spectrum, axis=-1)[:, : ORDER + 1]
        r[:, 0] = r[:, 0] * (1 + 1e-6) + 1e-9  # noise 60 dB below
        found[first : first + 1024, 0] = 1
        found[first : first + 1024, 1:] = -np.linalg.solve(r[:, :ORDER][:, lags], r[:, 1:, None])[..., 0]
    return found


def residual(x: np.ndarray) -> np.ndarray:
    """``e[n] = sum_k a_k x[n - k]``, what linear prediction leaves of a channel (time,). The filter is that of the
    block of 2048 samples around each stretch of 1024."""
    hop = BLOCK // 2
    count = -(-len(x) // hop)
    padded = np.pad(x, (hop // 2, count * hop + hop - len(x)))
    by = filters(np.lib.stride_tricks.sliding_window_view(padded, BLOCK)[::hop][:count])
    history = np.pad(x, (ORDER, count * hop - len(x)))
    out = np.zeros((count, hop))
    for k in range(ORDER + 1):
        out += by[:, k, None] * history[ORDER - k : ORDER - k + count * hop].reshape(count, hop)
    return out.reshape(-1)[: len(x)]


@dataclass(frozen=True)
class Burst:
    """Samples ``[start, stop)`` of a channel that may be a fault, and what tells so.

    made: ``ln(E / E')``, the energy of the residual around it over that once its samples are interpolated: a fault
    makes all of it. alone: ``ln(peak / equals)``, the highest other peak within 15 to 120 ms. noisy: ``ln(beside /
    level)``, the residual in the 5 ms before or behind, the louder side, over the background: an attack goes on where
    a click does not. heard: ``ln(change / rms)``, the most that interpolation changes a sample, over the 30 ms around.
    Each is the worse one by the filters of before and of behind. Sources: S. Godsill and P. Rayner, "Digital Audio
    Restoration", 1998, chapter 5; S. Vaseghi and P. Rayner, "Detection and suppression of impulsive noise", 1990.
    """

    start: int
    stop: int
    height: float
    made: float
    alone: float
    noisy: float
    heard: float

    @property
    def score(self) -> float:
        """``ln`` of the odds that it is a fault, and no music."""
        return _ALL + _MADE * self.made + _ALONE * self.alone + _NOISY * self.noisy + _HEARD * self.heard

    @classmethod
    def of(cls, x: np.ndarray, rate: int, at: int, first: int = 0, faint: float = FAINT) -> Burst | None:
        """Describe a peak of the residual of a stretch of a channel that begins at sample ``first`` of it; None for
        what cannot be a fault."""
        found = None
        hop = BLOCK // 2
        for beside in (-2, 2):  # blocks that do not hold it
            begin = ((first + at) // hop + beside) * hop - hop // 2 - first
            block = np.zeros(BLOCK)
            held = x[max(0, begin) : max(0, begin + BLOCK)]
            block[max(0, -begin) : max(0, -begin) + len(held)] = held
            one = cls._by(x, rate, at, first, filters(block[None])[0], faint)
            if one is None:
                return None
            found = one if found is None else found._worse(one)
        return found

    def _worse(self, other: Burst) -> Burst:
        return Burst(
            min(self.start, other.start),
            max(self.stop, other.stop),
            min(self.height, other.height),
            min(self.made, other.made),
            min(self.alone, other.alone),
            max(self.noisy, other.noisy),
            min(self.heard, other.heard),
        )

    @classmethod
    def _by(cls, x: np.ndarray, rate: int, at: int, begin: int, a: np.ndarray, faint: float) -> Burst | None:
        """The same by one filter."""
        reach, around, most = (round(seconds * rate) for seconds in (EQUALS[1], AROUND, _LONGEST))
        first = max(ORDER, at - reach)
        x, at, begin = x[first - ORDER : at + reach], at - first, begin + first
        e = np.abs(np.convolve(x, a, "valid"))
        x = x[ORDER:]
        level = float(np.median(e[max(0, at - around) : at + around])) / 0.6745 + 1e-9
        at += int(e[at : at + most].argmax()) if at + most < len(e) else 0
        start, stop = _extent(e, at, level, most)
        near, beside, behind = round(EQUALS[0] * rate), round(_NEXT * rate), stop + ORDER
        equals = max(e[: max(0, at - near)].max(initial=0.0), e[at + near :].max(initial=0.0))
        sides = e[max(0, start - beside) : start - 1], e[behind : behind + beside]
        noisy = max(float(np.sqrt(np.square(side).mean())) if len(side) else 0.0 for side in sides)
        alone, noisy = np.log((e[at] + 1e-9) / (equals + 1e-9)), np.log(max(noisy / level, 1e-3))
        if _ALL + _MADE * _AT_BEST + _ALONE * alone + _NOISY * noisy < -faint:
            return None
        margin = round(_BESIDE * rate) + ORDER
        left, right = max(0, start - margin), stop + margin
        if start - left < ORDER or len(x) - stop < ORDER:
            return None
        mended = x[left:right].copy()
        mended[start - left : stop - left] = interpolated(mended, a, start - left, stop - left)
        energies = [float(np.square(np.convolve(each, a, "valid")).sum()) for each in (x[left:right], mended)]
        change = float(np.abs(x[left:right] - mended).max())
        rms = float(np.sqrt(np.square(x[max(0, at - around) : at + around]).mean()))
        made, heard = np.log(energies[0] / (energies[1] + 1e-12)), np.log(max(change, 1e-9) / (rms + 1e-9))
        height = float(e[at]) / level
        return cls(begin + start, begin + stop, height, float(made), float(alone), float(noisy), float(heard))


def _extent(e: np.ndarray, at: int, level: float, most: int) -> tuple[int, int]:
    """What of a residual stands out in a row around a peak, ``most`` samples either way."""
    near = np.flatnonzero(e[max(0, at - most) : at + most] > max(_PART * e[at], _ABOVE * level)) - min(at, most)
    ends = [0, 0]
    for side, row in enumerate((-near[near < 0][::-1], near[near > 0])):
        for n in row:
            if n - ends[side] > _APART:
                break
            ends[side] = int(n)
    return at - ends[0] - 1, min(at + ends[1] + 2, at - ends[0] - 1 + round(4 / 3 * most))
