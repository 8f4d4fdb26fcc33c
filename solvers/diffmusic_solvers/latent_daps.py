"""LatentDAPS as published: the flow's end, Langevin dynamics around it, and fresh noise for the next level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction, misfit_gradient, norms, unrolled


@dataclass(frozen=True)
class LatentDAPS:
    """Decoupled annealing in latents, with the paper's ODE and Langevin dynamics; ``daps`` is our form of it.

        x_0 = end of the probability-flow ODE from z             Euler, ``levels`` steps at (sigma^(1/7) (1 - k / K))^7
        p(x | z, y) ~ exp(-|x - x_0|^2 / 2 sigma^2 - L(x) / 2 deviation^2)
        v   = momentum v - h grad + sqrt(2 (1 - momentum)) sqrt(h) n,   x <- x + v,   ``iterations`` times
        z'  = x + sigma' n'

    z: latents, (batch, ...); ``L(x) = ||T A V Dec(x) - T y||^2``, and ``grad`` is that of ``-log p``. Momentum 0 is
    Langevin, more the damped Hamiltonian dynamics of the released code. ``deviation`` is the error of a value of
    ``T y``, and the one number here with a scale, that of the measurement's features: it stands for the noise, too. The
    step has none: ``h = rate / (1 / sigma^2 + 1 / (2 deviation^2 gamma))``, where ``gamma`` makes ``L`` least along
    its gradient (``diffmusic.solver.correction``) at ``x_0``, and so is the inverse of its curvature there.

    At the last level there is nothing to draw: the result is the end of the last dynamics.

    Source: B. Zhang et al., CVPR 2025, arXiv:2407.01521, Algorithm 1 and eq. 7.
    """

    levels: Annotated[int, Field(ge=1), Doc("steps of the ODE")] = 2
    iterations: Annotated[int, Field(ge=1), Doc("steps of the dynamics at each noise level")] = 10
    deviation: Annotated[float, Field(gt=0), Doc("error of what was measured, nats in a log-mel")] = 0.1
    rate: Annotated[float, Field(gt=0, lt=2), Doc("step of the dynamics, in units of the inverse curvature")] = 0.5
    momentum: Annotated[float, Field(ge=0, lt=1), Doc("0 is Langevin dynamics, more Hamiltonian")] = 0.0
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        with torch.no_grad():
            schedule = [step.sigma * (1 - k / self.levels) ** 7 for k in range(self.levels + 1)]
            centre = unrolled(step.prior, state.z, schedule)
        x = self._sampled(centre, step)
        return State(x + step.sigma_next * step.noise(x) if step.sigma_next > 0 else x)

    def _sampled(self, centre: Tensor, step: Step) -> Tensor:
        x, velocity, size = centre, torch.zeros_like(centre), None
        variance = self.deviation**2
        for _ in range(self.iterations):
            leaf = x.detach().requires_grad_()
            _, gradient = misfit_gradient(leaf, leaf, step, self.space)
            if size is None:
                least = norms(correction(x, step, None, self.space)) / norms(gradient).clamp(min=1e-30)
                curvature = torch.where(least > 0, 1 / (2 * variance * least.clamp(min=1e-30)), 0.0)
                size = self.rate / (1 / step.sigma**2 + curvature)
            slope = (x - centre) / step.sigma**2 + gradient / (2 * variance)
            fresh = (2 * (1 - self.momentum) * size).sqrt() * step.noise(x)
            velocity = self.momentum * velocity - size * slope + fresh
            x = x + velocity
        return x
