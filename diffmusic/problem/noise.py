"""Noise of a measurement, known by a few draws that went every way the measurement did."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from diffmusic.audio.stft import inverse, spectrum, windows_of
from diffmusic.problem.features import FeatureNoise, LogFeatures

DRAWS = 3
_WINDOW = 0.064  # seconds
_PRESENT = 3.0  # times the noise's power: music


@dataclass(frozen=True, eq=False)
class Noise:
    """Stationary noise ``n``: ``y = A x + n`` for audio, ``y = |STFT(x) + STFT(n)|`` for magnitudes.

    Attributes:
        draws: A few draws, (draws, batch, ...), of the shape and in the units of the measurement; complex bins for
            magnitudes.
        sample_rate: Of the measurement, Hz.
        seen: What of it was measured, such as all but the gaps; None for all.
    """

    draws: Tensor
    sample_rate: int = 16000
    seen: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def white(cls, deviation: float, like: Tensor, seen: Callable[[Tensor], Tensor] | None = None) -> Noise:
        """Draw white noise of a standard deviation, of the shape of the measurement ``like``."""
        draw = torch.randn((DRAWS, *like.shape[1:]), generator=torch.Generator().manual_seed(0))
        draws = (deviation * draw.to(like)[:, None]).expand(-1, len(like), *[-1] * (like.ndim - 1))
        return cls(draws, seen=seen)

    @cached_property
    def measured(self) -> Tensor:
        """The draws as they were measured, (draws, batch, ...)."""
        return torch.stack([self.seen(each) for each in self.draws]) if self.seen else self.draws

    @cached_property
    def bins(self) -> Tensor:
        """``E |n_k|^2`` of magnitudes, (batch, channels, 1, bins)."""
        return self.draws.abs().square().mean((0, -2)).unsqueeze(-2)

    def over(self, scale: Tensor) -> Noise:
        """Divide by the scale of each item, (batch, 1, ...)."""
        return dataclasses.replace(self, draws=self.draws / scale)

    def excess(self, power: Callable[[Tensor], Tensor], y: Tensor) -> Tensor:
        """Return the power of a measurement over that of its noise, (batch, 1, 1), a hundredth of it at least.

        power: of a measurement, as ``BoundOperator.power``.
        """
        whole = power(y)
        noise = torch.stack([power(self._magnitudes(each)) for each in self.measured]).mean(0)
        return torch.maximum(whole - noise, whole / 100)

    def added(self, y: Tensor, draw: Tensor) -> Tensor:
        """Add a draw to a measurement without noise.

        Magnitudes have lost their phases. Those of a partial alternate from bin to bin, as the window's transform does.
        """
        if not draw.is_complex():
            return y + draw
        turns = 1 - 2 * (torch.arange(y.shape[-1], device=y.device) % 2)
        return (y * turns + draw).abs()

    def expected(self, y: Tensor) -> Tensor:
        """What is measured on average, of ``y`` without noise: magnitudes become ``sqrt(y^2 + E |n_k|^2)``."""
        return (y.square() + self.bins).sqrt() if self.draws.is_complex() else y

    def removed(self, y: Tensor) -> Tensor:
        """Guess the measurement without noise: ``|Y|^2 - E |N|^2`` where its neighbourhood is three times the noise.

        Spectral subtraction alone would leave some noise in a third of the bins where there is nothing else, and an
        error larger than that of nothing.
        """
        if self.draws.is_complex():
            return y * gain(y.square(), self.bins)
        settings = windows_of(_WINDOW, self.sample_rate)
        if y.shape[-1] < settings.n_fft:
            return y
        bins = spectrum(y, settings)
        power = spectrum(self.draws, settings).abs().square().mean((0, -2)).unsqueeze(-2)
        clean = inverse(bins * gain(bins.abs().square(), power), settings, y.shape[-1])
        return self.seen(clean) if self.seen else clean

    def features(self, features: LogFeatures) -> FeatureNoise:
        """Measure the noise in log-magnitude features."""
        free = self._magnitudes(self.draws)
        return features.noise(free, self._magnitudes(self.measured) if self.seen else free)

    def _magnitudes(self, draw: Tensor) -> Tensor:
        return draw.abs() if draw.is_complex() else draw


def gain(power: Tensor, noise: Tensor) -> Tensor:
    """The gain of spectral subtraction, (..., frames, bins); 0 where 5 frames and 3 bins around are noise."""
    rows = power.reshape(-1, 1, *power.shape[-2:])
    around = avg_pool2d(rows, (5, 3), 1, (2, 1), count_include_pad=False).reshape(power.shape)
    kept = (1 - noise / power.clamp(min=torch.finfo(power.dtype).tiny)).clamp(min=0).sqrt()
    return torch.where(around > _PRESENT * noise, kept, 0.0)
