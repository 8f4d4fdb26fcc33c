"""DPS: a gradient step on the noisy latent, through vocoder, decoder and network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction, misfit_gradient, transition


@dataclass(frozen=True)
class DPS:
    """Diffusion posterior sampling: gradient steps on the noisy latent, through the network.

        D  = denoise(z, sigma)                                   the graph is kept: grad_z goes through the network
        L  = ||T A V Dec(D) - T y||^2
        z' = D + k (z - D) / sigma + s n - zeta c grad_z sqrt(L),   c = sqrt((1 + sigma^2) (1 + sigma'^2))

    ``zeta`` also stands for the noise of the measurement and for the prior's covariance, and one number cannot be right
    at all levels nor for two priors: the true weight is ``C A^T (A C A^T + noise^2)^-1``, ``C = sigma^2 dD/dz``. So by
    default there is no ``zeta``, and that weight is matched along the gradient, by the ``w`` that makes ``L`` least:

        D* = D - w (dD/dz)^T grad_D L,   z' = D* + k (z - D*) / sigma + s n

    which ends at the floor of the noise (``diffmusic.solver.correction``) and costs one more pass of the decoder.

    z: latents, (batch, ...). A ``zeta`` is the paper's own: it steps in the variance-preserving ``x = sqrt(abar) z``,
    and ``grad_x = grad_z / sqrt(abar)``, ``z' = x' / sqrt(abar')`` give the factor ``c``, so that published values can
    be compared. The paper's step on ``L`` is ``zeta / sqrt(L)``, which is twice this one on the root; its released code
    descends the root, as here. ``squared`` descends ``L`` with a constant ``zeta``, the printed line 7.

    It costs a backward pass through the network at every level.

    Source: H. Chung et al., ICLR 2023, arXiv:2209.14687, Algorithm 1.
    """

    zeta: Annotated[float | None, Field(gt=0), Doc("step size as published; without one it is matched")] = None
    eta: Annotated[float, Field(ge=0, le=1), Doc("fresh noise: 0 is DDIM, 1 is DDPM")] = 1.0
    squared: Annotated[bool, Doc("descend the squared misfit instead of its root")] = False
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        z = state.z.detach().requires_grad_()
        clean = step.prior.denoise(z, step.sigma)
        if self.zeta is None:

            def spread(gradient: Tensor) -> Tensor:
                return torch.autograd.grad(clean, z, gradient)[0]

            consistent = clean.detach() - correction(clean, step, None, self.space, spread)
            return State(transition(state.z, consistent, step, self.eta))
        _, gradient = misfit_gradient(clean, z, step, self.space, self.squared)
        scale = self.zeta * math.sqrt((1 + step.sigma**2) * (1 + step.sigma_next**2))
        return State(transition(state.z, clean.detach(), step, self.eta) - scale * gradient)
