"""Griffin-Lim: phases that are consistent with the magnitudes, without a prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.audio.griffin_lim import griffin_lim
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem import HasSTFT, Problem, clean_length
from diffmusic.solver.noise import generator


@dataclass(frozen=True)
class GriffinLim:
    """Griffin-Lim from random phases: ``p <- arg(c + m (c - c_before))``, ``c = STFT(ISTFT(y e^{i p}))``.

    Works for any operator that measures STFT magnitudes. Raises InputError for others.

    Source: momentum 0 is the original of D. Griffin and J. Lim (1984), near 1 the fast variant of N. Perraudin et al.
    (2013).
    """

    iterations: Annotated[int, Field(ge=1), Doc("iterations")] = 64
    momentum: Annotated[float, Field(ge=0, lt=2), Doc("0: the original; 0.99: the fast variant")] = 0.99

    def estimate(self, problem: Problem) -> Tensor:
        """Return the estimate, (batch, channels, time)."""
        operator = problem.operator
        if not isinstance(operator, HasSTFT):
            raise InputError("griffin-lim needs an operator that measures magnitudes, such as stft-magnitude")
        y = problem.measured
        turns = torch.rand(y.shape, generator=generator(0), dtype=y.dtype)
        phase, length = 2 * torch.pi * turns, clean_length(operator, y)
        return griffin_lim(y, phase, operator.stft, length, self.iterations, self.momentum)
