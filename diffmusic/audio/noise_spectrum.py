"""Stationary noise of a recording: its spectrum, told or estimated, and draws of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import next_fast_len
from scipy.ndimage import percentile_filter, uniform_filter1d
from torch import Tensor

from diffmusic.audio.stft import STFT, spectrum, windows_of
from diffmusic.errors import InputError

_WINDOW = 0.064  # seconds
SHORTEST = 0.1
"""Seconds of a noise-only stretch, at least."""
_SMOOTH = 5  # bins over which the spectrum of a stretch is averaged
_QUIET = 0.2  # seconds over which a band is averaged before its minimum is taken
_BROAD = 21  # bins that share an estimate: partials that never stop are among its higher values
_PERCENTILE = 25


@dataclass(frozen=True, eq=False)
class NoiseSpectrum:
    """Power density of stationary noise, a function of frequency.

    Attributes:
        density: (channels, bins), float64, at frequencies from 0 to half of ``sample_rate``, evenly: the mean square of
            white noise that is as strong at that frequency.
        sample_rate: Rate at which it was observed, Hz; nothing lies above half of it.
    """

    density: np.ndarray
    sample_rate: int

    @classmethod
    def white(cls, deviation: float, channels: int, sample_rate: int) -> NoiseSpectrum:
        """Return white noise of a standard deviation, full scale 1."""
        return cls(np.full((channels, 2), deviation**2), sample_rate)

    @classmethod
    def of_stretch(cls, audio: np.ndarray, sample_rate: int) -> NoiseSpectrum:
        """Estimate from audio that holds nothing but noise, (channels, time): averaged periodograms (P. Welch 1967).

        Raises:
            InputError: It is shorter than a tenth of a second.
        """
        if audio.shape[-1] < SHORTEST * sample_rate:
            seconds = audio.shape[-1] / sample_rate
            raise InputError(f"{seconds:.3f} s of noise are too short to know it by: give {SHORTEST:g} s or more")
        whole = _powers(audio, sample_rate).mean(1)
        return cls(uniform_filter1d(whole, _SMOOTH, mode="nearest"), sample_rate)

    @classmethod
    def least(cls, audio: np.ndarray, sample_rate: int) -> NoiseSpectrum:
        """Estimate from music with noise, (channels, time), by minimum statistics.

        In each band the least power over time, of what is averaged over 0.2 s, is that of the noise alone, and of 21
        neighbouring bins a quarter holds no partial that never stops; what the same estimate makes of white noise of
        that length is its bias. Hum is music to it. After R. Martin, IEEE Trans. Speech and Audio Processing 9, 2001,
        without the tracking.
        """
        draw = np.random.default_rng(0).standard_normal((1, audio.shape[-1]))
        bias = float(np.mean(_minimum(draw, sample_rate)))
        return cls(_minimum(audio, sample_rate) / bias, sample_rate)

    def power(self, settings: STFT) -> Tensor:
        """Return ``E |STFT(n)|^2``, (channels, bins), float64."""
        hertz = np.linspace(0, settings.sample_rate / 2, settings.n_fft // 2 + 1)
        return torch.from_numpy(self._at(hertz, settings.sample_rate) * _energy(settings))

    def variance(self, sample_rate: int | None = None) -> np.ndarray:
        """Return the mean square of the noise at a rate, by default its own, (channels,)."""
        rate = sample_rate or self.sample_rate
        return np.asarray(self._at(np.linspace(0, rate / 2, 1025), rate).mean(-1))

    def draw(self, samples: int, count: int, seed: Sequence[int]) -> Tensor:
        """Draw noise at its own rate, (count, channels, samples), float64: filtered white noise."""
        size = next_fast_len(samples, real=True)
        white = np.random.default_rng(seed).standard_normal((count, len(self.density), size))
        gain = np.sqrt(self._at(np.linspace(0, self.sample_rate / 2, size // 2 + 1), self.sample_rate))
        return torch.from_numpy(np.fft.irfft(np.fft.rfft(white) * gain, size)[..., :samples])

    def _at(self, hertz: np.ndarray, rate: int) -> np.ndarray:
        """The density at some frequencies of noise that was brought to another rate, (channels, frequencies)."""
        own = np.linspace(0, self.sample_rate / 2, self.density.shape[1])
        values = np.stack([np.interp(hertz, own, row, right=0.0) for row in self.density])
        return values * (rate / self.sample_rate)


def _powers(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """``|STFT|^2`` over the energy of the window, (channels, frames, bins), of frames that reach over no end."""
    settings = windows_of(_WINDOW, sample_rate)
    power = spectrum(torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float64)), settings).abs().square().numpy()
    edge = settings.n_fft // 2 // settings.hop
    power = power[:, edge : max(edge + 1, power.shape[1] - edge)]
    return np.asarray(power / _energy(settings))


def _energy(settings: STFT) -> float:
    """The energy of the window: what white noise of variance 1 has in each bin."""
    return float(torch.hann_window(settings.n_fft, dtype=torch.float64).square().sum())


def _minimum(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """The least of the powers averaged over ``_QUIET`` seconds, a low percentile of neighbours, (channels, bins)."""
    power = _powers(audio, sample_rate)
    settings = windows_of(_WINDOW, sample_rate)
    frames = max(1, min(power.shape[1], round(_QUIET * sample_rate / settings.hop)))
    sums = np.cumsum(np.pad(power, ((0, 0), (1, 0), (0, 0))), axis=1)
    least = ((sums[:, frames:] - sums[:, :-frames]) / frames).min(1)
    return np.asarray(percentile_filter(least, _PERCENTILE, (1, _BROAD), mode="nearest"))
