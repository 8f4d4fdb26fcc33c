"""Band-limited interpolation: a low-rate measurement at the higher rate, with nothing above its band."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from diffmusic.audio.sinc import sinc_resample
from diffmusic.errors import InputError
from diffmusic.problem import HasMeasuredRate, HasSTFT, Problem, clean_length


@dataclass(frozen=True)
class Sinc:
    """Windowed-sinc interpolation to the rate of the result, ``x = U y``; nothing is differentiated.

    Works for any operator whose measurement is audio at its own rate. Raises InputError for others.
    """

    def estimate(self, problem: Problem) -> Tensor:
        """Return the estimate, (batch, channels, time) at the rate of the result."""
        operator = problem.operator
        if not isinstance(operator, HasMeasuredRate) or isinstance(operator, HasSTFT):
            raise InputError("sinc needs an operator that lowers the sample rate, such as resampling")
        y = problem.measured
        return sinc_resample(y, operator.measured_rate, operator.sample_rate)[..., : clean_length(operator, y)]  # type: ignore[attr-defined]
