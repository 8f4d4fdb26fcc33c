"""DiffMusic: a gradient step on the clean latent, through decoder and vocoder but not through the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import (
    State,
    Step,
    correction,
    evidence,
    misfit_gradient,
    time_travel,
    transition,
    uncertainty,
)


@dataclass(frozen=True)
class DiffMusic:
    """DiffMusic with a line search: gradient steps on the clean latent.

        D  = denoise(z, sigma)                                   the clean latent, no gradient kept
        L  = ||T A V Dec(D) - T y||^2                            T log-mel, V vocoder, Dec decoder
        D* = D - gamma grad_D L
        z' = D* + k (z - D*) / sigma + s n                       the transition of ``diffmusic.solver``, with the
                                                                 variance that a coarse step would lose

    The gradient's norm spans decades along the noise levels and differs between clips and priors, so no constant
    ``gamma`` works. It is the one that makes ``L`` least along the gradient (``diffmusic.solver.correction``), for
    every item by itself, at the cost of one more pass of the decoder. There is no step where ``L`` is no more than the
    noise of the measurement explains (``Problem.floor``). With a ``rate`` the step has a fixed length instead, a
    fraction of the spread that a clean latent of unit variance still has at this noise level:

        gamma = rate sqrt(dim) s / ||grad L||,   s = sigma / sqrt(1 + sigma^2)

    The measurement reaches the rest of the latent only through ``denoise`` at the next level, when part of it is
    already settled; on a Gaussian prior that leaves the mean a quarter of the way off, however many levels there are.
    So each move may be repeated: ``z`` goes back up, ``z <- z' + sqrt(sigma^2 - sigma'^2) n``, and is moved again (A.
    Lugmayr et al., "RePaint", CVPR 2022), which at equal cost helps more than further levels.

    ``gamma`` runs the published algorithm to the letter: that factor at every level, one move, no fresh noise, whatever
    the other parameters say. One thing remains: line 6 applies ``A`` to ``T V Dec(D)``, a mask to a spectrogram, which
    is an operator for gaps only; here it is ``T A V Dec(D)`` for all.

    ``covariance`` sends the gradient through the network too. To first order in ``L`` the posterior's mean lies along
    ``-Cov[z_0 | z] grad_D L``, and ``Cov[z_0 | z] = sigma^2 dD/dz``: so the step goes along ``(dD/dz)^T grad_D L``,
    which moves the unmeasured parts together with the measured ones, and little where the prior is certain.

    Source: J.-W. Liao, P.-C. Pan and S.-P. Yang, "DiffMusic", Algorithm 1.
    """

    rate: Annotated[
        float | None,
        Field(gt=0),
        Doc("length of the gradient step, in units of the remaining spread, without a search"),
    ] = None
    gamma: Annotated[
        float | None, Field(gt=0), Doc("a factor of the gradient instead: Algorithm 1 to the letter, as published")
    ] = None
    corrections: Annotated[int, Field(ge=1), Doc("gradient steps at each noise level")] = 1
    repeats: Annotated[int, Field(ge=1), Doc("times each move between levels is made")] = 2
    eta: Annotated[float, Field(ge=0, le=1), Doc("fresh noise: 0 is DDIM, 1 is DDPM")] = 1.0
    analytic: Annotated[bool, Doc("give the fresh noise the variance that a coarse step would lose")] = True
    covariance: Annotated[bool, Doc("step along the prior's covariance; a backward pass of the network a move")] = False
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        if self.gamma is not None:
            return State(self._published(state.z, step, self.gamma))
        heard, z = state.memory, state.z
        if step.index == 0 and step.problem.guess is not None:
            heard = evidence(step.problem, step.prior)
            z = z + heard.latents

        def move(z: Tensor, step: Step) -> Tensor:
            moved = self._move(z, step)
            return heard.put(moved, step) if heard is not None else moved

        return State(time_travel(move, z, step, self.repeats), heard)

    @property
    def hears(self) -> bool:
        """Not the published algorithm."""
        return self.gamma is None

    def _published(self, z: Tensor, step: Step, gamma: float) -> Tensor:
        with torch.no_grad():
            clean = step.prior.denoise(z, step.sigma)
        leaf = clean.detach().requires_grad_()
        _, gradient = misfit_gradient(leaf, leaf, step, self.space)
        return transition(z.detach(), clean.detach() - gamma * gradient, step, 0.0)

    def _move(self, z: Tensor, step: Step) -> Tensor:
        z = z.detach().requires_grad_(self.covariance)
        with torch.set_grad_enabled(self.covariance):
            denoised = step.prior.denoise(z, step.sigma)

        def spread(gradient: Tensor) -> Tensor:
            return torch.autograd.grad(denoised, z, gradient, retain_graph=True)[0]

        variance = uncertainty(z.detach(), denoised.detach(), step.sigma) if self.analytic else 0.0
        clean = denoised.detach()
        for _ in range(self.corrections):
            clean = clean - correction(clean, step, self.rate, self.space, spread if self.covariance else None)
        return transition(z.detach(), clean, step, self.eta, variance)
