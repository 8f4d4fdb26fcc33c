"""Low pass: the recording is dull; above a frequency it falls off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.problem.chain import Chainable

_WEIGHT = 0.003  # of the estimate in finishing, where the filter lets little through


@dataclass(frozen=True)
class Lowpass(Chainable):
    """``Y = H X``, ``H(f) = min(1, (cutoff / f)^(slope / 6.02))``, without a phase. Shapes: (batch, channels, time).

    A line that falls by so many dB an octave is the filter of BABE with one break (E. Moliner et al.,
    arXiv:2306.01433, section III). It has to be known.
    """

    cutoff: Annotated[float, Field(gt=0), Doc("Hz above which it falls off")] = 4000.0
    slope: Annotated[float, Field(gt=0), Doc("dB an octave")] = 24.0
    sample_rate: int = 16000

    def _response(self, like: Tensor) -> Tensor:
        # Made on the CPU: not every accelerator has double precision.
        hertz = torch.fft.rfftfreq(like.shape[-1], 1 / self.sample_rate, dtype=torch.float64)
        power = self.slope / (20 * math.log10(2))
        return ((self.cutoff / hertz.clamp(min=1e-3)).clamp(max=1) ** power).to(like)

    def _filtered(self, x: Tensor, response: Tensor) -> Tensor:
        out: Tensor = torch.fft.irfft(torch.fft.rfft(x) * response, n=x.shape[-1])
        return out

    def forward(self, x: Tensor) -> Tensor:
        """``F^-1 (H F x)``."""
        return self._filtered(x, self._response(x))

    adjoint = forward
    """A filter without a phase is its own transpose."""

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """``X <- E + H / (H^2 + w) (Y - H E)``: what was let through is the recording's, the rest the estimate's."""
        response = self._response(estimate)
        missing = measurement - self._filtered(estimate, response)
        return estimate + self._filtered(missing, response / (response.square() + _WEIGHT))
