"""ReSample: the clean latent is optimised against the data, and noised again with a variance that it has earned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction, fitted_audio, transition


@dataclass(frozen=True)
class ReSample:
    """Hard data consistency in audio first and in the latents later, with stochastic resampling.

        D   = denoise(z, sigma)
        z'' = D + k (z - D) / sigma + s n                        as if nothing had been measured
        D*  = D + Enc(x) - Enc(Dec(D)),   x near Dec(D) with A x = y             above the level ``latent``
        D*  = argmin_near_D L                                    below it: ``iterations`` searched steps
        z'  = q D* + (1 - q) z'' + sqrt(q) sigma' n,   q = r / (1 + r),   r = gamma (sigma^2 - sigma'^2)

    z: latents, (batch, ...); ``L = ||T A V Dec(D) - T y||^2``. ``q`` weighs what the data say against where the walk
    is: the product of ``N(D*, sigma'^2)`` and ``N(z'', gamma (sigma^2 - sigma'^2) sigma'^2)`` in the frame, so that a
    large ``gamma`` begins anew from ``D*`` and a small one hardly looks at it. Its ``sigma^2`` is in units of latents
    of unit variance: that is the one scale here. At the last level the result is ``D*``.

    ``reencode`` is the branch in audio at all levels, its moves made twice instead of being weighed. As published, the
    first third of the levels has no consistency, and one in ten later on, for a walk of hundreds; ``every`` is for such
    walks.

    Source: B. Song et al., "ReSample", ICLR 2024, arXiv:2307.08123, Algorithm 1, eq. 9 and Proposition 1.
    """

    gamma: Annotated[float, Field(gt=0), Doc("variance of the resampling over that of the move")] = 40.0
    latent: Annotated[float, Field(ge=0), Doc("noise level below which the data are fitted in the latents")] = 1.0
    iterations: Annotated[int, Field(ge=1), Doc("data steps at each level")] = 4
    every: Annotated[int, Field(ge=1), Doc("one level in so many is fitted to the data")] = 1
    eta: Annotated[float, Field(ge=0, le=1), Doc("fresh noise: 0 is DDIM, 1 is DDPM")] = 0.0
    space: Annotated[Space, Doc("where the misfit is taken in the latents")] = "mel"

    def step(self, state: State, step: Step) -> State:
        with torch.no_grad():
            clean = step.prior.denoise(state.z, step.sigma)
        moved = transition(state.z, clean, step, self.eta)
        if step.index % self.every and step.sigma_next > 0:
            return State(moved)
        consistent = self._in_latents(clean, step) if step.sigma <= self.latent else self._in_audio(clean, step)
        if step.sigma_next == 0:
            return State(consistent)
        r = self.gamma * (step.sigma**2 - step.sigma_next**2)
        q = r / (1 + r)
        return State(q * consistent + (1 - q) * moved + math.sqrt(q) * step.sigma_next * step.noise(moved))

    def _in_latents(self, clean: Tensor, step: Step) -> Tensor:
        for _ in range(self.iterations):
            clean = clean - correction(clean, step, None, self.space)
        return clean

    def _in_audio(self, clean: Tensor, step: Step) -> Tensor:
        with torch.no_grad():
            audio = step.prior.decode(clean)
            return clean + step.prior.encode(fitted_audio(audio, step, self.iterations)) - step.prior.encode(audio)
