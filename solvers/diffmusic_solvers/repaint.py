"""RePaint: the latents that were measured put into the walk, each of its moves made several times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.solver import Evidence, State, Step, evidence, time_travel, transition


@dataclass(frozen=True)
class RePaint:
    """Replacement of what is known at every level (A. Lugmayr et al., CVPR 2022, arXiv:2201.09865, Algorithm 1).

        D  = denoise(z, sigma)
        z' = z_y + sigma' n                                      where the latents are known (``solver.evidence``)
        z' = D + k (z - D) / sigma + s n                         elsewhere, the transition of ``diffmusic.solver``

    z: latents, (batch, ...). After a move ``z`` goes back up, ``z <- z' + sqrt(sigma^2 - sigma'^2) n``, and is moved
    again, so that what is known reaches the rest before it is settled. The walk begins at ``z_y + sigma n``, with a
    guess where nothing is known: the loudness of an excerpt is not yet lost in the noise at the highest level.

    It needs the network alone: no decoder, no gradient, no step size. Two passes of the encoder come first.
    """

    hears: ClassVar[bool] = True

    repeats: Annotated[int, Field(ge=1), Doc("times each move between levels is made")] = 3
    eta: Annotated[float, Field(ge=0, le=1), Doc("fresh noise: 0 is DDIM, 1 is DDPM")] = 1.0
    analytic: Annotated[bool, Doc("give the fresh noise the variance that a coarse step would lose")] = True

    def step(self, state: State, step: Step) -> State:
        known, z = state.memory, state.z
        if step.index == 0:
            known = evidence(step.problem, step.prior)
            z = z + known.latents
        return State(time_travel(lambda z, step: self._move(z, step, known), z, step, self.repeats), known)

    def _move(self, z: Tensor, step: Step, known: Evidence) -> Tensor:
        with torch.no_grad():
            clean = step.prior.denoise(z, step.sigma)
        variance = known.uncertainty(z, clean, step.sigma) if self.analytic else 0.0
        return known.put(transition(z, clean, step, self.eta, variance), step)
