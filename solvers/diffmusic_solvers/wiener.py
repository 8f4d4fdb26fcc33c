"""Regularised inverse of a linear operator: deconvolution by a known response, without a prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem import HasAdjoint, Problem, sources
from diffmusic.problem.least_squares import regularised_inverse


@dataclass(frozen=True)
class Wiener:
    """Regularised inverse ``x = argmin |A x - y|^2 + w |A|^2 |x|^2``, by conjugate gradients.

    Nothing is differentiated. For a convolution this is Wiener's filter for white noise and white music. Works for any
    linear operator with an adjoint whose measurement is as long as the audio. Raises InputError for others.
    """

    weight: Annotated[float, Field(gt=0), Doc("how strongly what the operator hardly lets through is left out")] = 0.003
    iterations: Annotated[int, Field(ge=1), Doc("iterations of conjugate gradients")] = 60

    def estimate(self, problem: Problem) -> Tensor:
        """Return the estimate, (batch, channels, time)."""
        operator, y = problem.operator, problem.measured
        if not isinstance(operator, HasAdjoint):
            raise InputError("wiener needs a linear operator with an adjoint, such as reverb")
        shape = (len(y), sources(operator) if sources(operator) > 1 else y.shape[1], y.shape[-1])
        return regularised_inverse(operator, y, torch.zeros(shape).to(y), self.weight, self.iterations)
