"""PSLD: DPS in latents, with a gluing term that asks for latents which the encoder would give."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem import HasAdjoint, Space
from diffmusic.solver import State, Step, correction, misfit_gradient, norms, transition


@dataclass(frozen=True)
class PSLD:
    """Posterior sampling with latent diffusion: ``dps``, glued to what the encoder makes of the fitted audio.

        D  = denoise(z, sigma),   x = Dec(D)                     the graph is kept: grad_z goes through the network
        G  = ||D - Enc(A^T y + x - A^T A x)||^2                  what was measured put into the decoded estimate
        z' = D + k (z - D) / sigma + s n - zeta c grad_z (sqrt(L) + gluing sqrt(G)),
        c  = sqrt((1 + sigma^2) (1 + sigma'^2))

    Many latents decode to audio that fits; ``G`` is least for those which are their own encoding. z: latents, (batch,
    ...); ``L`` and a given ``zeta`` are those of ``dps``. By default there is none. ``L`` is made least along
    ``(dD/dz)^T grad_D L`` (``diffmusic.solver.correction``), and the gluing step goes a share of the way on which
    ``G``, if it were quadratic, would come to 0, with ``d = (dD/dz)^T grad_D G``:

        D* = D - w (dD/dz)^T grad_D L - gluing 2 G / <grad_D G, d> d

    Nothing in that has a scale. The operator has to be linear, with an adjoint. ``A^T A`` is taken for a projection, as
    in the paper: right for gaps and bands, not for a room, whose gain is therefore divided out, ``A^T / |A A^T y|``.

    A level costs a backward pass of the network for each term, the decoder twice both ways and the encoder once.

    Source: L. Rout et al., NeurIPS 2023, arXiv:2307.00619, Algorithm 2.
    """

    zeta: Annotated[float | None, Field(gt=0), Doc("step size as published; without one it is matched")] = None
    gluing: Annotated[float, Field(ge=0), Doc("weight of the gluing term; without zeta, a share of the way")] = 0.1
    eta: Annotated[float, Field(ge=0, le=1), Doc("fresh noise: 0 is DDIM, 1 is DDPM")] = 1.0
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        z = state.z.detach().requires_grad_()
        clean = step.prior.denoise(z, step.sigma)

        def spread(gradient: Tensor) -> Tensor:
            return torch.autograd.grad(clean, z, gradient, retain_graph=True)[0]

        glue, pull = self._glue(clean.detach(), step)
        if self.zeta is None:
            moved = clean.detach() - correction(clean, step, None, self.space, spread)
            along = spread(pull)
            slope = (pull * along).flatten(1).sum(1).reshape(norms(pull).shape)
            share = torch.where(slope > 0, 2 * glue / slope.clamp(min=torch.finfo(slope.dtype).tiny), 0.0)
            return State(transition(state.z, moved - self.gluing * share * along, step, self.eta))
        root = (2 * glue.sqrt()).clamp(min=torch.finfo(glue.dtype).tiny)
        gradient = self.gluing * spread(pull / root) + misfit_gradient(clean, z, step, self.space, squared=False)[1]
        scale = self.zeta * math.sqrt((1 + step.sigma**2) * (1 + step.sigma_next**2))
        return State(transition(state.z, clean.detach(), step, self.eta) - scale * gradient)

    def _glue(self, clean: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """``G``, one value a latent, and its gradient in the clean latent."""
        operator, y = step.problem.operator, step.problem.cleaned
        if not isinstance(operator, HasAdjoint):
            raise InputError("psld needs a linear operator with an adjoint: take dps")
        back = operator.adjoint(y)
        gain = (norms(operator.forward(back)) / norms(back).clamp(min=torch.finfo(y.dtype).tiny)) ** 2
        leaf = clean.requires_grad_()
        with torch.enable_grad():
            audio = step.prior.decode(leaf)
            lacking = operator.adjoint(y - operator.forward(audio)) / gain.clamp(min=torch.finfo(y.dtype).tiny)
            apart = leaf - step.prior.encode(audio + lacking)
            glue = apart.square().flatten(1).sum(1).reshape(norms(leaf).shape)
            return glue.detach(), torch.autograd.grad(glue.sum(), leaf)[0]
