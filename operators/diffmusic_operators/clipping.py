"""Clipping: what was louder than a level was cut off."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from diffmusic.audio.declip import consistent
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem.chain import Chainable


@dataclass(frozen=True)
class Clipping(Chainable):
    """``y = max(-c, min(c, x))``: hard clipping at a level ``c``. Shapes: (batch, channels, time), both.

    ``c`` is given, or is the peak of the recording, as it is for digital clipping that was not turned down unevenly
    afterwards.
    """

    level: Annotated[
        float | None, Field(gt=0, allow_inf_nan=False), Doc("where it clips, full scale 1; left out: the file's peak")
    ] = None
    slack: Annotated[float, Field(ge=0, lt=0.5), Doc("part of the level by which clipped samples may miss it")] = 1e-4
    trust: Annotated[
        float, Field(ge=0, le=1), Doc("how much finishing follows the estimate's spectrum; 0 leaves it out")
    ] = 0.1
    iterations: Annotated[int, Field(ge=1), Doc("of finishing; more are slower and closer")] = 100
    sample_rate: int = 16000
    solver: ClassVar[str] = "declip"

    @classmethod
    def example(cls) -> Clipping:
        """Return one at a level that noise of deviation 0.1 often exceeds, for the contract tests."""
        return cls(level=0.1, iterations=10)

    def fitted(self, measurement: Tensor) -> Clipping:
        """Return the operator at the level that the recording shows. Raises InputError for silence, which has none."""
        if self.level is not None:
            return self
        peak = float(measurement.abs().max())
        if peak == 0:
            raise InputError("the recording is silent: nothing was clipped")
        return dataclasses.replace(self, level=peak)

    def _level(self) -> float:
        if self.level is None:
            raise InputError("at which level was it clipped? Give `level`")
        return self.level

    def forward(self, x: Tensor) -> Tensor:
        """``max(-c, min(c, x))``."""
        return x.clamp(-self._level(), self._level())

    def clipped(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return which samples were cut off above, and which below."""
        edge = self._level() * (1 - self.slack)
        return y >= edge, y <= -edge

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """Keep unclipped samples; the others follow the estimate's spectrum, beyond the level (``consistent``)."""
        return consistent(
            measurement, *self.clipped(measurement), self.sample_rate, self.iterations, estimate, self.trust
        )
