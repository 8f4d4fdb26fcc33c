"""SITCOM: the input of the network is optimised until what it denoises to fits the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction, misfit_gradient


@dataclass(frozen=True)
class SITCOM:
    """Step-wise triple-consistent sampling: what fits, what the network can make, and what the level allows.

        v  = argmin_(v near z) L(denoise(v, sigma)),   ``iterations`` steps from z
        D  = denoise(v, sigma)                                   backward consistency: no D but the network's
        z' = D + sigma' n                                        forward consistency: independent of z

    z: latents, (batch, ...); ``L(D) = ||T A V Dec(D) - T y||^2``, differentiated through the network. The steps go
    along ``-grad_v L`` as far as makes ``L`` least (``diffmusic.solver.correction``), which has no scale; ``v`` stays
    near ``z`` because there are few of them, and none once ``L`` is what noise explains. With a ``rate`` they are
    Adam's, of that length in ``x = v / sqrt(1 + sigma^2)``, as published. The paper's term ``lambda |x_t - v|^2`` is
    left out.

    An iteration costs a pass of network and decoder both ways, and without a rate one more forwards.

    Source: I. Alkhouri et al., "SITCOM", ICML 2025, arXiv:2410.04479, Algorithm 1.
    """

    rate: Annotated[float | None, Field(gt=0), Doc("length of Adam's steps; without one each is searched for")] = None
    iterations: Annotated[int, Field(ge=1), Doc("steps at each noise level")] = 2
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        def clean(v: Tensor) -> Tensor:
            return step.prior.denoise(v, step.sigma)

        v = self._adam(state.z, step, self.rate) if self.rate else state.z
        for _ in range(0 if self.rate else self.iterations):
            v = v - correction(v, step, None, self.space, through=clean)
        with torch.no_grad():
            fitted = clean(v)
        return State(fitted + step.sigma_next * step.noise(fitted) if step.sigma_next > 0 else fitted)

    def _adam(self, z: Tensor, step: Step, rate: float) -> Tensor:
        v = z.detach().clone().requires_grad_()
        optimiser = torch.optim.Adam([v], lr=rate * math.sqrt(1 + step.sigma**2))
        for _ in range(self.iterations):
            excess, v.grad = misfit_gradient(step.prior.denoise(v, step.sigma), v, step, self.space)
            before = v.detach().clone()
            optimiser.step()
            with torch.no_grad():
                v.copy_(torch.where(excess > 0, v, before))
        return v.detach()
