"""FlowChef: Euler's step of the flow, less a gradient step at its clean end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction, misfit_gradient, transition


@dataclass(frozen=True)
class FlowChef:
    """Steering of a flow without the network's derivative (FlowChef), on any denoiser.

        D  = denoise(z, sigma)                                   no gradient kept
        z' = D + sigma' (z - D) / sigma - zeta (1 + sigma') grad_D sqrt(L)

    z: latents, (batch, ...); ``L = ||T A V Dec(D) - T y||^2``. It is Euler's step of the flow ``x = z / (1 + sigma)``
    less ``zeta`` times the gradient, and the derivative of the clean end in ``x`` is taken for the identity. By default
    ``zeta (1 + sigma')`` is what makes ``L`` least along the gradient (``diffmusic.solver.correction``). On a
    variance-preserving network it is ``dps-jacobian-free`` without fresh noise, and with the flow's weight.

    Nothing is drawn after the first noise.

    Source: M. Patel et al., "FlowChef", ICCV 2025, arXiv:2412.00100, Algorithm 1.
    """

    zeta: Annotated[float | None, Field(gt=0), Doc("step size as published; without one it is searched for")] = None
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        with torch.no_grad():
            clean = step.prior.denoise(state.z, step.sigma)
        moved = transition(state.z, clean, step, eta=0.0)
        if self.zeta is None:
            return State(moved - correction(clean, step, None, self.space))
        leaf = clean.detach().requires_grad_()
        _, gradient = misfit_gradient(leaf, leaf, step, self.space, squared=False)
        return State(moved - self.zeta * (1 + step.sigma_next) * gradient)
