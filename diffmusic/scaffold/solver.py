"""Inversion of the measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction, transition


@dataclass(frozen=True)
class Placeholder:
    """Gradient steps on the clean estimate: ``D* = D - gamma grad_D L``, ``z' = D* + k (z - D*) / sigma + s n``.

    ``L = ||T A V Dec(D) - T y||^2``, and ``gamma`` gives the step the length ``rate sqrt(dim) sigma / sqrt(1 +
    sigma^2)`` (``diffmusic.solver.correction``). z: latents, (batch, ...).
    """

    rate: Annotated[float, Field(gt=0), Doc("length of the gradient step, in units of the remaining spread")] = 1.5
    eta: Annotated[float, Field(ge=0, le=1), Doc("fresh noise: 0 is DDIM, 1 is DDPM")] = 1.0
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        """Move from ``step.sigma`` to ``step.sigma_next``."""
        with torch.no_grad():
            clean = step.prior.denoise(state.z, step.sigma)
        clean = clean - correction(clean, step, self.rate, self.space)
        return State(transition(state.z, clean, step, self.eta))
