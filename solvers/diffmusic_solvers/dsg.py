"""DSG: the fresh noise turned towards the data, its length kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction, deviations, misfit_gradient, norms


@dataclass(frozen=True)
class DSG:
    """Guidance with a spherical Gaussian constraint: the fresh noise turned towards the data at constant length.

        D  = denoise(z, sigma),   m = D + k (z - D) / sigma      the graph is kept: grad_z goes through the network
        g  = grad_z ||T A V Dec(D) - T y||,   n_s = s n,   r = sqrt(dim) s
        z' = m + r unit(n_s + rate (-r unit(g) - n_s))

    z: latents, (batch, ...); ``unit`` and ``dim`` are of one item. Fresh noise lies near the sphere of radius ``r``
    around ``m``; the step stays on it, turned from ``n`` (``rate = 0``) to steepest descent (``rate = 1``). Only the
    direction of ``g`` counts, so the misfit's scale and its squaring do not, nor does the frame: all of it is the
    paper's step divided by ``sqrt(abar')``. Levels between two guided ones, ``interval`` apart, are DDPM.

    As published, with a ``rate``, the method has no weight for the measurement's noise: every guided step is as long as
    every other, also when the data are fitted, and a high rate leaves no noise to draw samples with. By default the
    noise is turned as far as makes ``L`` least: by the share ``q`` of ``r`` that the line search takes along ``g``
    (``diffmusic.solver.correction``), which fresh noise, at a right angle to ``g``, reaches with
    ``rate = q / (q + sqrt(1 - q^2))``.

    Source: L. Yang et al., ICML 2024, arXiv:2402.03201, Algorithm 1.
    """

    rate: Annotated[
        float | None,
        Field(ge=0, le=1),
        Doc("how far the noise turns to steepest descent; without one it is searched for"),
    ] = None
    interval: Annotated[int, Field(ge=1), Doc("guide one level in so many")] = 1
    eta: Annotated[float, Field(gt=0, le=1), Doc("fresh noise: 1 is DDPM")] = 1.0
    jacobian: Annotated[bool, Doc("differentiate through the network; the released DiffMusic code does not")] = True
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        k, s = deviations(step.sigma, step.sigma_next, self.eta)
        guided = s > 0 and step.index % self.interval == 0
        z = state.z.detach().requires_grad_(guided and self.jacobian)
        with torch.set_grad_enabled(z.requires_grad):
            clean = step.prior.denoise(z, step.sigma)
        mean = (clean + (k / step.sigma) * (z - clean)).detach()
        if s == 0:
            return State(mean)
        fresh = s * step.noise(mean)
        if not guided:
            return State(mean + fresh)
        if not self.jacobian:
            z = clean = clean.detach().requires_grad_()
        radius = s * math.sqrt(z[0].numel())
        if self.rate is None:

            def spread(gradient: Tensor) -> Tensor:
                return torch.autograd.grad(clean, z, gradient)[0] if self.jacobian else gradient

            move = correction(clean, step, None, self.space, spread)
            share = (norms(move) / radius).clamp(max=1)
            along = -radius * _unit(move)
            return State(mean + radius * _unit(torch.lerp(fresh, along, share / (share + (1 - share**2).sqrt()))))
        _, gradient = misfit_gradient(clean, z, step, self.space)
        steepest = -radius * _unit(gradient)
        return State(mean + radius * _unit(fresh + self.rate * (steepest - fresh)))


def _unit(x: Tensor) -> Tensor:
    """Divide every item by its norm; zero where it has no direction."""
    norm = norms(x)
    return torch.where(norm > 0, x / norm, x)
