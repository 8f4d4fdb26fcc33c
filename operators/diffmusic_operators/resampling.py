"""Resampling: the recording was stored at a lower rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from diffmusic.audio.sinc import sinc_resample
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem.chain import Chainable

_REPEATS = 16


@dataclass(frozen=True)
class Resampling(Chainable):
    """Windowed-sinc interpolation of ``x`` at ``sample_rate`` to the lower ``measured_rate``, ``y = D x``.

    INPUT is the recording at the low rate; the result has ``rate``, or ``factor`` times the recording's. Shapes: x and
    y are (batch, channels, time), each at its own rate.

    Source of the filter: ``diffmusic.audio.sinc``.
    """

    linear: ClassVar[bool] = True

    factor: Annotated[int, Field(ge=2, le=32), Doc("how many times the recording's rate the result has")] = 2
    rate: Annotated[int | None, Field(ge=1000), Doc("rate of the result, Hz, instead of a factor")] = None
    sample_rate: int = 16000
    measured_rate: int = 8000

    def clean_rate(self, rate: int) -> int:
        """Return the rate of the result, Hz, for a recording at ``rate``."""
        return self.rate or rate * self.factor

    def observed_rate(self, rate: int) -> int:
        """Return the rate of the recording, Hz, that music at ``rate`` is reduced to."""
        if rate % self.factor:
            raise InputError(f"{rate} Hz cannot be divided by {self.factor}: choose another `factor`")
        return rate // self.factor

    def clean_length(self, y: Tensor) -> int:
        """Return the samples of the result."""
        return round(y.shape[-1] * self.sample_rate / self.measured_rate)

    def validate(self, seconds: float) -> None:
        """Raise InputError where the result would have no higher rate than the recording."""
        if self.measured_rate >= self.sample_rate:
            raise InputError(
                f"the recording already has {self.measured_rate} Hz: give a `rate` above it, not {self.sample_rate}"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``D x``."""
        return sinc_resample(x, self.sample_rate, self.measured_rate)

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """Restore the recorded band, ``x <- x + U (y - D x)``, ``U`` the interpolation to the higher rate.

        Once would do for a perfect filter; repeated, it also settles the filter's slope (Landweber's iteration).
        """
        out = estimate
        for _ in range(_REPEATS):
            missing = measurement - self.forward(out)[..., : measurement.shape[-1]]
            kept = sinc_resample(missing, self.measured_rate, self.sample_rate)[..., : out.shape[-1]]
            out = out + torch.nn.functional.pad(kept, (0, out.shape[-1] - kept.shape[-1]))
        return out
