"""Spectral subtraction: each bin by its signal-to-noise ratio, without a prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from diffmusic.audio.hum import without_hum
from diffmusic.audio.stft import inverse, spectrum, windows_of
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem import HasAdjoint, Problem, sources


@dataclass(frozen=True)
class SpectralSubtraction:
    """Gain of each bin of the STFT by its signal-to-noise ratio; nothing is differentiated.

        G = xi / (1 + xi),   xi = smoothing |S_before|^2 / E|N|^2 + (1 - smoothing) max(0, |Y|^2 / E|N|^2 - 1)

    ``S_before`` is the estimate of the frame before: the decision-directed estimate of Wiener's filter, which leaves
    little musical noise. ``method`` subtraction is ``G^2 = max(0, 1 - E|N|^2 / |Y|^2)`` in each bin alone. ``hum``
    takes the harmonics of the mains off first.

    Works for an operator whose measurement is the music with noise. Raises InputError for others.

    Source: Y. Ephraim and D. Malah, IEEE Trans. Acoustics, Speech and Signal Processing 32, 1984; P. Scalart and J. V.
    Filho, ICASSP 1996; subtraction S. Boll 1979.
    """

    method: Annotated[Literal["wiener", "subtraction"], Doc("how a bin's gain follows from its ratio")] = "wiener"
    smoothing: Annotated[float, Field(ge=0, lt=1), Doc("weight of the frame before, of wiener")] = 0.96
    floor: Annotated[float, Field(le=0), Doc("the least gain, dB")] = -25.0
    window: Annotated[float, Field(gt=0, le=1), Doc("seconds of a frame")] = 0.064
    hum: Annotated[float, Field(ge=0, le=500), Doc("frequency of the mains whose hum is taken off, Hz; 0: none")] = 0.0
    sample_rate: int = 16000

    def estimate(self, problem: Problem) -> Tensor:
        """Return the estimate, (batch, channels, time)."""
        y, operator = problem.measured, problem.operator
        if not isinstance(operator, HasAdjoint) or sources(operator) > 1 or not torch.equal(operator.forward(y), y):
            raise InputError("spectral-subtraction needs music with nothing but noise in it, such as operator noise")
        if problem.told is None:
            raise InputError("spectral-subtraction has to be told of the noise: give `noise_from` or `noise_std`")
        if self.hum:
            y = torch.stack([torch.from_numpy(without_hum(x.numpy(), self.sample_rate, self.hum)) for x in y])
        settings = windows_of(self.window, self.sample_rate)
        if y.shape[-1] < settings.n_fft:
            return y
        draws = problem.told.draws
        rows = []
        for item, row in enumerate(y):
            channels = []
            for channel, samples in enumerate(row):
                noise = spectrum(draws[:, item, channel], settings).abs().square().mean((0, 1))
                bins = spectrum(samples, settings)
                channels.append(inverse(bins * self._gain(bins.abs().square(), noise), settings, y.shape[-1]))
            rows.append(torch.stack(channels))
        return torch.stack(rows)

    def _gain(self, power: Tensor, noise: Tensor) -> Tensor:
        """Gains, (frames, bins), for powers (frames, bins) with noise of power (bins,)."""
        noise, least = noise.clamp(min=1e-20), 10 ** (self.floor / 20)
        over = (power / noise - 1).clamp(min=0)
        if self.method == "subtraction":
            return (over / (over + 1)).sqrt().clamp(min=least)
        gains, before = torch.empty_like(power), over[0]
        for frame, excess in enumerate(over):
            ratio = self.smoothing * before + (1 - self.smoothing) * excess
            gains[frame] = (ratio / (1 + ratio)).clamp(min=least)
            before = gains[frame].square() * power[frame] / noise
        return gains
