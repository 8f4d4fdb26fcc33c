"""MPGD: a gradient step on the clean latent, the network's own noise kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction, misfit_gradient, time_travel, transition


@dataclass(frozen=True)
class MPGD:
    """Manifold preserving guided diffusion, in latents (MPGD-LDM).

        D  = denoise(z, sigma)                                   no gradient kept
        D* = D - zeta sqrt(1 + sigma'^2) grad_D sqrt(L),   L = ||T A V Dec(D) - T y||^2
        z' = D* + k (z - D) / sigma + s n

    By default ``zeta sqrt(1 + sigma'^2)`` is what makes ``L`` least along the gradient
    (``diffmusic.solver.correction``).

    z: latents, (batch, ...). A latent model's decoder stands for the manifold, so the step needs no projection. The
    noise put back is the network's ``eps = (z - D) / sigma``, where ``diffmusic`` recomputes it from ``D*`` and so
    takes part of the step back. The paper leaves the step ``c_t`` open; ``c_t = zeta / sqrt(abar_{t-1})`` is that of
    its released code, which moves ``x_{t-1}`` by ``zeta``. Per step it is ``dps-jacobian-free`` times ``sqrt(abar_t)``.

    repeats: the paper's time travel: ``z`` goes back up, ``z <- z' + sqrt(sigma^2 - sigma'^2) n``, and is moved again.

    Source: Y. He et al., ICLR 2024, arXiv:2311.16424.
    """

    zeta: Annotated[float | None, Field(gt=0), Doc("step size as published; without one it is searched for")] = None
    repeats: Annotated[int, Field(ge=1), Doc("times each move between levels is made")] = 1
    eta: Annotated[float, Field(ge=0, le=1), Doc("fresh noise: 0 is DDIM, 1 is DDPM")] = 1.0
    squared: Annotated[bool, Doc("descend the squared misfit instead of its root")] = False
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        return State(time_travel(self._move, state.z, step, self.repeats))

    def _move(self, z: Tensor, step: Step) -> Tensor:
        with torch.no_grad():
            clean = step.prior.denoise(z, step.sigma)
        if self.zeta is None:
            return transition(z, clean, step, self.eta) - correction(clean, step, None, self.space)
        leaf = clean.detach().requires_grad_()
        _, gradient = misfit_gradient(leaf, leaf, step, self.space, self.squared)
        scale = self.zeta * math.sqrt(1 + step.sigma_next**2)
        return transition(z, clean.detach(), step, self.eta) - scale * gradient
