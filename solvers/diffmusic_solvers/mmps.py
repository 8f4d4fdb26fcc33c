"""Moment matching: the prior's own covariance carries what is known to the rest of the latents."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.solver import State, Step, evidence, least_residual, time_travel, transition


@dataclass(frozen=True)
class MMPS:
    """Moment matching posterior sampling, in latents (F. Rozet et al., NeurIPS 2024, arXiv:2405.13712, Section 4.2).

        D  = denoise(z, sigma / sqrt(T))                         the clean latent under the tempered prior
        C  = sigma^2 dD/dz                                       the covariance of ``z_0`` given ``z``, by Tweedie
        D* = D + C W (W C W + r^2 I)^-1 W (z_y - D)              W = 1 where the latents are known, 0 elsewhere
        z' = D* + k (z - D*) / sigma + s n                       the transition of ``diffmusic.solver``

    z: latents, (batch, ...); ``z_y`` and ``W`` are those of ``diffmusic.solver.evidence``. What the song says again is
    a measurement with the deviation ``rho``: there ``W = r / sqrt(r^2 + rho^2)``, so that ``W (z_y - D)`` has the error
    ``r`` everywhere, and the covariance weighs the song against the prior. On a Gaussian prior ``D*`` is the
    posterior's mean, whatever the prior's covariance: its largest eigenvalue is in the thousands, loudness, and a step
    that stands for the inverse overshoots that direction or creeps along the others. The products are vector-Jacobian
    ones, which are the same where ``D`` is a posterior mean; a network's Jacobian is nearly symmetric, so that the
    inverse is by GMRES and not by conjugate gradients.

    ``T`` tempers the prior, ``p^(1/T)``: a Gaussian one of covariance ``C_0`` becomes one of ``T C_0``, whose denoiser
    at ``sigma`` is that of ``C_0`` at ``sigma / sqrt(T)``. A network that knows less than it should is too sure, and
    ``T`` above 1 makes its samples differ as much as they err. 1 is the paper's.

    Each iteration costs a backward pass of the network. No decoder, no step size; ``r`` is the encoder's own error.
    """

    hears: ClassVar[bool] = True

    iterations: Annotated[int, Field(ge=1), Doc("products with the covariance at each move")] = 2
    repeats: Annotated[int, Field(ge=1), Doc("times each move between levels is made")] = 1
    deviation: Annotated[float, Field(gt=0), Doc("r, of the error in the latents that count as known")] = 0.1
    eta: Annotated[float, Field(ge=0, le=1), Doc("fresh noise: 0 is DDIM, 1 is DDPM")] = 1.0
    analytic: Annotated[bool, Doc("give the fresh noise the variance that a coarse step would lose")] = True
    temperature: Annotated[
        float | None, Field(gt=0), Doc("T: more makes samples differ more; by default what the prior says of itself")
    ] = None

    def step(self, state: State, step: Step) -> State:
        known, z = state.memory, state.z
        if step.index == 0:
            known = evidence(step.problem, step.prior)
            z = z + known.latents
        weight = known.weight(self.deviation)
        root = math.sqrt(self.temperature or step.prior.temperature)

        def move(z: Tensor, step: Step) -> Tensor:
            leaf = z.detach().requires_grad_()
            with torch.enable_grad():
                denoised = step.prior.denoise(leaf, step.sigma / root)

            def product(v: Tensor) -> tuple[Tensor, Tensor]:
                (spread,) = torch.autograd.grad(denoised, leaf, weight * v, retain_graph=True)
                spread = step.sigma**2 * spread
                return weight * spread + self.deviation**2 * v, spread

            residual = weight * (known.latents - denoised.detach())
            clean = denoised.detach() + least_residual(product, residual, self.iterations)
            variance = known.uncertainty(z, denoised.detach(), step.sigma) if self.analytic else 0.0
            return transition(z, clean, step, self.eta, variance)

        return State(time_travel(move, z, step, self.repeats), known)
