"""Noise: the recording has hiss, or other noise that is the same from beginning to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.problem.chain import Chainable


@dataclass(frozen=True)
class NoiseAlone(Chainable):
    """Identity with noise, ``y = x + n``. Shapes: x and y are (batch, channels, time).

    The noise is what the run is told of (``--noise-from``, ``--noise-std``); where it is told nothing, it is estimated
    from the least of what is heard in each band. A rate or a level is not changed. In a chain, too: what is predicted
    has the noise at the end of it, and finishing takes it off where it stands.
    """

    std: Annotated[
        float | None, Field(gt=0, allow_inf_nan=False), Doc("standard deviation of white noise, full scale 1")
    ] = None

    noisy: ClassVar[bool] = True

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``x``."""
        return x * 1.0

    adjoint = forward
    """The identity is its own transpose."""

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """Return the measurement: by then each of its bins is weighed by its signal-to-noise ratio."""
        return measurement.clone()
