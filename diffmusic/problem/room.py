"""A room that nobody measured: its decay, and direct over reverberant energy in each octave, by what they explain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.mel import MelSpec, mel_filters
from diffmusic.audio.stft import STFT, inverse, spectrum, windows_of

DECAYS = tuple(np.geomspace(0.15, 2.5, 20).tolist())
"""Seconds to fall by 60 dB that are tried. Longer ones are not told from notes that are held."""
RATIOS = tuple(np.arange(-18.0, 25.0).tolist())
"""Energy of the direct sound over that of the room, dB, that is tried."""
_OCTAVES = 125.0 * 2.0 ** np.arange(8)  # Hz
_WINDOW = 0.032  # seconds
_SHARED = 0.5  # how far the ratio of a band is drawn to the mean of all
_NOTHING = 1e-3  # of the recording's power, below which an estimate says nothing
_QUIET = 1e-8  # of a band's loudest frame: what lies below is not looked at


@dataclass(frozen=True)
class Room:
    """Impulse response ``h = delta + sum_b 10^(-R_b / 20) n_b(t) 10^(-3 t / T)``, known in its powers alone:

        E |Y[t, f]|^2 = |X[t, f]|^2 + L[t, f],   L[t] = 10^(-R / 10) (1 - a) sum_(k > 0) a^(k - 1) |X[t - k]|^2

    with ``a = 10^(-6 hop / T)``. ``n_b`` is noise in an octave band, of unit energy with its decay: a log-mel hardly
    sees which, so that it stands for all phases.

    Attributes:
        decay: ``T``, seconds in which it falls by 60 dB.
        ratios: ``R_b``, direct over reverberant energy, dB, by octave band from 125 Hz on; below as in the first.
    """

    decay: float
    ratios: tuple[float, ...]

    @classmethod
    def fitted(cls, x: Tensor, y: Tensor, sample_rate: int) -> Room:
        """Find the decay and the ratios with the least ``mean |log E |Y|^2 - log |Y|^2|`` over frames and bands.

        All that may be are tried. Each ratio is drawn half way to the mean of all, for a band where notes are held
        tells little.

        Args:
            x: What the dry sound is thought to be, (..., time).
            y: What was recorded of it, of the same shape.
            sample_rate: Hz.
        """
        settings = windows_of(_WINDOW, sample_rate)
        dry, wet = (_octaves(each, settings) for each in (x, y))
        gains = 10 ** (-torch.tensor(RATIOS, dtype=torch.float64) / 10)
        quiet = _QUIET * wet.amax(0) + 1e-30
        target = (wet + quiet).log()
        best, found = float("inf"), cls(DECAYS[0], (RATIOS[-1],) * dry.shape[1])
        for decay in DECAYS:
            late = _late(dry, decay, settings)
            off = ((dry + gains[:, None, None] * late + quiet).log() - target).abs().mean(1)  # (ratios, bands)
            least, place = off.min(0)
            if float(least.sum()) < best:
                best, found = float(least.sum()), cls(decay, tuple(RATIOS[n] for n in place.tolist()))
        shared = float(np.mean(found.ratios))
        return cls(found.decay, tuple((1 - _SHARED) * each + _SHARED * shared for each in found.ratios))

    def late(self, power: Tensor, settings: STFT) -> Tensor:
        """Compute ``L``, the power of the reverberation of powers ``|X|^2``, (..., frames, bins)."""
        hertz = np.linspace(0, settings.sample_rate / 2, power.shape[-1])
        ratios = 10 ** (-np.array(self.ratios)[_band(hertz, len(self.ratios))] / 10)
        return torch.from_numpy(ratios).to(power) * _late(power.transpose(0, -2), self.decay, settings).transpose(0, -2)

    def dry(self, y: Tensor, x: Tensor, sample_rate: int) -> Tensor:
        """Take the reverberation off a recording: ``sqrt(P / (P + L))`` of each bin of its STFT, its phases kept.

        ``P`` are the powers of an estimate, as smooth over frequency as a log-mel, for no more of them is known. Where
        the estimate has nothing, as above the band of a prior, those of the recording stand for them.

        Args:
            y: The recording, (channels, time).
            x: The estimate, of the same shape.
            sample_rate: Hz.
        """
        settings = windows_of(_WINDOW, sample_rate)
        bins = spectrum(y, settings)
        power, own = (_smooth(each.abs().square(), settings) for each in (spectrum(x, settings), bins))
        power = torch.where(power.mean((0, 1)) > _NOTHING * own.mean((0, 1)), power, own)
        late = self.late(power, settings)
        gain = torch.where(power + late > 0, power / (power + late).clamp(min=torch.finfo(power.dtype).tiny), 1.0)
        return inverse(bins * gain.sqrt(), settings, y.shape[-1])

    def impulse(self, sample_rate: int) -> np.ndarray:
        """Compute the taps ``h`` at a rate, (taps,), float64, the noise a fixed one."""
        return _taps(self, sample_rate)


def _smooth(power: Tensor, settings: STFT) -> Tensor:
    """Powers, (..., bins), as means over the bands of a log-mel, and back."""
    rate, n_fft = settings.sample_rate, settings.n_fft
    spec = MelSpec(rate, n_fft, settings.hop, min(48, n_fft // 8), high=rate / 2)
    bands = mel_filters(spec, power.dtype, power.device)
    over = bands.sum(0)
    level = power @ (bands / bands.sum(1, keepdim=True).clamp(min=1e-12)).T
    return torch.where(over > 0, (level @ bands) / over.clamp(min=1e-12), power)


def _octaves(x: Tensor, settings: STFT) -> Tensor:
    """Mean power by frame and octave, over the channels too, (frames, bands)."""
    power = spectrum(x.detach().double(), settings).abs().square().flatten(0, -3).mean(0)
    hertz = np.linspace(0, settings.sample_rate / 2, power.shape[-1])
    count = int((settings.sample_rate / 2 > 1.1 * _OCTAVES).sum())
    band = np.where(hertz < _OCTAVES[0], -1, _band(hertz, count))
    return torch.stack([power[:, torch.from_numpy(band == b)].mean(1) for b in range(count)], 1)


def _band(hertz: np.ndarray, count: int) -> np.ndarray:
    return np.clip(np.searchsorted(_OCTAVES, hertz, side="right") - 1, 0, count - 1)


def _late(power: Tensor, decay: float, settings: STFT) -> Tensor:
    """``(1 - a) sum_(k > 0) a^(k - 1) P[t - k]`` along the first axis."""
    kept = 10 ** (-6 * settings.hop / settings.sample_rate / decay)
    late, sum_ = torch.empty_like(power), torch.zeros_like(power[0])
    for frame, now in enumerate(power):
        late[frame] = (1 - kept) * sum_
        sum_ = kept * sum_ + now
    return late


@lru_cache(maxsize=8)
def _taps(room: Room, rate: int) -> np.ndarray:
    time = np.arange(round(rate * room.decay * 1.2)) / rate
    noise = np.random.default_rng(0).standard_normal(len(time)) * 10 ** (-3 * time / room.decay)
    noise[0] = 0
    bins = np.fft.rfft(noise)
    hertz = np.fft.rfftfreq(len(time), 1 / rate)
    band = _band(hertz, len(room.ratios))
    for b, ratio in enumerate(room.ratios):
        own = band == b
        if own.any():
            bins[own] *= 10 ** (-ratio / 20) / np.sqrt(np.mean(np.abs(bins[own]) ** 2))
    taps: np.ndarray = np.fft.irfft(bins, len(time))
    taps[0] += 1.0
    return taps
