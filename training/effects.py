"""What a mix goes through before it is heard: equalisation, compression and a room, at random.

Clips end up in mono, where the width of a mix changes nothing: the mean of the channels has no side signal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np
from scipy.signal import fftconvolve, lfilter, sosfilt

SHARES = {"equaliser": 0.7, "compressor": 0.5, "room": 0.4}  # how often each is in the chain
FRAME = 441  # samples of the compressor's envelope


@dataclass(frozen=True)
class Effects:
    """A chain: peaks (Hz, dB, Q), a compressor (dB under the level, ratio), a room (seconds, dB of wet over dry)."""

    peaks: tuple[tuple[float, float, float], ...] = ()
    compressor: tuple[float, float] | None = None
    room: tuple[float, float] | None = None

    def __call__(self, stereo: np.ndarray, rate: int, seed: int) -> np.ndarray:
        """Return sound (frames, channels) with the effects on it; the seed is that of the room's echoes."""
        for hertz, gain, q in self.peaks:
            stereo = sosfilt(peak(hertz, gain, q, rate), stereo, axis=0)
        if self.compressor:
            stereo = stereo * compression(stereo, rate, *self.compressor)[:, None]
        if self.room:
            stereo = reverberated(stereo, rate, *self.room, seed)
        return stereo.astype(np.float32)


def draw(random: Random, reverberant: bool) -> Effects:
    """Draw a chain; what is reverberant already gets no second room."""
    number = random.choice((1, 2, 3)) if random.random() < SHARES["equaliser"] else 0
    peaks = tuple((80 * 100 ** random.random(), random.uniform(-8, 8), random.uniform(0.4, 1.5)) for _ in range(number))
    compressor = (random.uniform(0, 12), random.uniform(1.5, 4)) if random.random() < SHARES["compressor"] else None
    has_room = random.random() < SHARES["room"] and not reverberant
    room = (random.uniform(0.15, 1.2), random.uniform(-16, -4)) if has_room else None
    return Effects(peaks, compressor, room)


def peak(hertz: float, gain: float, q: float, rate: int) -> np.ndarray:
    """Return a peaking filter of `gain` dB as one second-order section.

    ``H(s) = (s^2 + s A / Q + 1) / (s^2 + s / (A Q) + 1)``, ``A = 10^(gain / 40)``, by the bilinear transform
    (R. Bristow-Johnson, "Cookbook formulae for audio EQ biquad filter coefficients").
    """
    a, w = 10 ** (gain / 40), 2 * math.pi * hertz / rate
    alpha = math.sin(w) / (2 * q)
    top = np.array([1 + alpha * a, -2 * math.cos(w), 1 - alpha * a])
    bottom = np.array([1 + alpha / a, -2 * math.cos(w), 1 - alpha / a])
    return np.concatenate([top, bottom])[None] / bottom[0]


def compression(stereo: np.ndarray, rate: int, under: float, ratio: float) -> np.ndarray:
    """Return the gain, (frames,), of a feed-forward compressor with a threshold `under` dB below the RMS level.

    Above the threshold a level rises by 1 / ratio dB a dB; the envelope is the frames' RMS, smoothed over 80 ms.
    """
    mono = stereo.mean(axis=1)
    count = max(1, len(mono) // FRAME)
    power = np.square(mono[: count * FRAME]).reshape(count, -1).mean(axis=1)
    keep = math.exp(-FRAME / rate / 0.08)
    level = 10 * np.log10(lfilter([1 - keep], [1, -keep], power, zi=[keep * power[0]])[0] + 1e-10)
    threshold = 10 * math.log10(float(power.mean()) + 1e-10) - under
    gain = -np.maximum(level - threshold, 0) * (1 - 1 / ratio)
    middles = (np.arange(count) + 0.5) * FRAME
    return 10 ** (np.interp(np.arange(len(mono)), middles, gain) / 20)


def reverberated(stereo: np.ndarray, rate: int, seconds: float, wet: float, seed: int) -> np.ndarray:
    """Return sound in a room of noise that falls by 60 dB in `seconds`, its energy `wet` dB over the direct one's."""
    noise = np.random.default_rng(seed).standard_normal((round(seconds * rate), stereo.shape[1]))
    echoes = noise * 10 ** (-3 * np.arange(len(noise)) / len(noise))[:, None]
    echoes *= 10 ** (wet / 20) / np.sqrt(np.square(echoes).sum(axis=0))
    return stereo + fftconvolve(stereo, echoes, axes=0)[: len(stereo)]
