"""DPS without the network's Jacobian: the method that the released DiffMusic code calls DPS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction, misfit_gradient, transition


@dataclass(frozen=True)
class JacobianFreeDPS:
    """DPS with ``dD/dz`` taken to be the identity: the gradient goes through vocoder and decoder only.

        D  = denoise(z, sigma)                                   no gradient kept
        L  = ||T A V Dec(D) - T y||^2
        z' = D + k (z - D) / sigma + s n - zeta c grad_D sqrt(L),   c = sqrt((1 + sigma^2) (1 + sigma'^2))

    z: latents, (batch, ...). By default ``zeta c`` is what makes ``L`` least along the gradient
    (``diffmusic.solver.correction``). A given ``zeta``, and ``c``, are those of ``dps``.
    The code released with DiffMusic makes ``x`` a new leaf after the network has run, so that ``D = z - sigma eps`` is
    differentiated with ``eps`` held fixed, and ``grad_z = grad_D``. It has ``eta = 0`` and ``zeta = 0.0005``.

    It saves the backward pass through the network, and on a Gaussian prior it is the better of the two: the Jacobian
    shrinks the parts of which the prior is certain, this step moves them, and the next ``denoise`` carries that to the
    rest. As in ``dps``, a given ``zeta`` alone accounts for the noise of the measurement.

    Source: github.com/jwliao1209/DiffMusic, ``scheduling_dps.py``.
    """

    zeta: Annotated[float | None, Field(gt=0), Doc("step size as published; without one it is searched for")] = None
    eta: Annotated[float, Field(ge=0, le=1), Doc("fresh noise: 0 is DDIM, 1 is DDPM")] = 1.0
    squared: Annotated[bool, Doc("descend the squared misfit instead of its root")] = False
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        with torch.no_grad():
            clean = step.prior.denoise(state.z, step.sigma)
        if self.zeta is None:
            moved = transition(state.z, clean, step, self.eta)
            return State(moved - correction(clean, step, None, self.space))
        leaf = clean.detach().requires_grad_()
        _, gradient = misfit_gradient(leaf, leaf, step, self.space, self.squared)
        scale = self.zeta * math.sqrt((1 + step.sigma**2) * (1 + step.sigma_next**2))
        return State(transition(state.z, clean.detach(), step, self.eta) - scale * gradient)
