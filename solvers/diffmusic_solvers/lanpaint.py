"""LanPaint: Langevin dynamics at every level, in which what was measured and the rest settle together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from diffmusic.parameters import Doc, Field
from diffmusic.solver import State, Step, evidence, transition


@dataclass(frozen=True)
class LanPaint:
    """Conditional sampling by Langevin dynamics (C. Zheng et al., "LanPaint", TMLR 2025, arXiv:2502.03491).

        d = denoise(z, sigma) - z                                sigma^2 times the prior's score
        z <- z + h d + sqrt(2 h) sigma n                         where the latents are unknown
        z <- z + h' ((1 + w) (z_y - z) - w d) + sqrt(2 h') sigma n,   h' = h / (1 + w), where they are known

    ``repeats`` times at each level, then the transition of ``diffmusic.solver``, and ``z_y + sigma' n`` where the
    latents are known (``diffmusic.solver.evidence``). z: latents, (batch, ...). The guided score of what is known
    weighs the measurement against what the prior makes of its surroundings, so that both sides move towards each
    other, where RePaint moves one of them.

    Here the dynamics are overdamped, the limit of much friction, with a step of its own for the stiffer part; the
    paper's have momentum. No gradient, no decoder. Each level costs one pass of the network more than ``repeats``.
    """

    hears: ClassVar[bool] = True

    repeats: Annotated[int, Field(ge=1), Doc("Langevin steps at each level")] = 3
    rate: Annotated[float, Field(gt=0, lt=1), Doc("length h of a step, in units of sigma squared")] = 0.3
    guidance: Annotated[float, Field(ge=0), Doc("weight w of the guided score")] = 4.0
    eta: Annotated[float, Field(ge=0, le=1), Doc("fresh noise: 0 is DDIM, 1 is DDPM")] = 1.0
    analytic: Annotated[bool, Doc("give the fresh noise the variance that a coarse step would lose")] = True

    def step(self, state: State, step: Step) -> State:
        known, z = state.memory, state.z
        if step.index == 0:
            known = evidence(step.problem, step.prior)
            z = z + known.latents
        with torch.no_grad():
            for _ in range(self.repeats):
                drift = step.prior.denoise(z, step.sigma) - z
                free = z + self.rate * drift + math.sqrt(2 * self.rate) * step.sigma * step.noise(z)
                guided = (1 + self.guidance) * (known.latents - z) - self.guidance * drift
                rate = self.rate / (1 + self.guidance)
                z = known.join(free, z + rate * guided + math.sqrt(2 * rate) * step.sigma * step.noise(z))
            clean = step.prior.denoise(z, step.sigma)
        variance = known.uncertainty(z, clean, step.sigma) if self.analytic else 0.0
        return State(known.put(transition(z, clean, step, self.eta, variance), step), known)
