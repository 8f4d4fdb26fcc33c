"""Damage of the audio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field


@dataclass(frozen=True)
class Placeholder:
    """Echo ``y[n] = x[n] + gain x[n - d]``, ``d = delay sample_rate``. Shapes: x and y are (batch, channels, time)."""

    delay: Annotated[float, Field(gt=0), Doc("seconds until the echo")] = 0.05
    gain: Annotated[float, Field(gt=0, lt=1), Doc("of the echo")] = 0.5
    sample_rate: int = 16000  # set by diffmusic to the rate at which the operator is applied

    def _delayed(self, x: Tensor, samples: int) -> Tensor:
        padded = torch.nn.functional.pad(x, (max(0, samples), max(0, -samples)))
        return padded[..., : x.shape[-1]] if samples > 0 else padded[..., -samples:]

    def forward(self, x: Tensor) -> Tensor:
        """Compute the measurement: pure, differentiable, without noise."""
        return x + self.gain * self._delayed(x, max(1, round(self.delay * self.sample_rate)))

    def adjoint(self, y: Tensor) -> Tensor:
        """Compute the transpose. An operator that is not linear has none: leave it out."""
        return y + self.gain * self._delayed(y, -max(1, round(self.delay * self.sample_rate)))
