"""Slerp form of DiffMusic: the fresh noise turned towards the data along a great circle."""

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
class DiffMusicSlerp:
    """DiffMusic as its released code runs it: the fresh noise is turned towards the data by spherical interpolation.

        D  = denoise(z, sigma),   m = D + k (z - D) / sigma      no gradient kept
        g  = grad_D ||T A V Dec(D) - T y||
        z' = m + s slerp(n, -||n|| unit(g), rate)

        slerp(a, b, t) = (sin((1 - t) theta) a + sin(t theta) b) / sin(theta),   theta the angle between a and b

    z: latents, (batch, ...); ``unit`` and ``theta`` are of one item. It is not Algorithm 1 of the paper, which is
    ``diffmusic``: the clean latent stays as it is, and the noise is turned instead, its length kept. So it resembles
    ``dsg``, but turns on the sphere itself, by ``rate`` of the angle, and does not differentiate the network. Only the
    direction of ``g`` counts, so misfits can be scaled or squared. The last level has no noise, and is not guided.
    By default ``rate`` is ``(2 / pi) asin(q)``, with ``q`` the share of ``s ||n||`` that makes the misfit least along
    ``g`` (``diffmusic.solver.correction``); fresh noise is at a right angle to it.

    Source: github.com/jwliao1209/DiffMusic, ``scheduling_diffmusic.py``.
    """

    rate: Annotated[
        float | None, Field(ge=0, le=1), Doc("part of the angle to steepest descent; without one it is searched for")
    ] = None
    eta: Annotated[float, Field(gt=0, le=1), Doc("fresh noise: 1 is DDPM")] = 1.0
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        k, s = deviations(step.sigma, step.sigma_next, self.eta)
        with torch.no_grad():
            clean = step.prior.denoise(state.z, step.sigma)
        mean = clean + (k / step.sigma) * (state.z - clean)
        if s == 0:
            return State(mean)
        if self.rate is None:
            noise, move = step.noise(mean), correction(clean, step, None, self.space)
            share = (norms(move) / (s * norms(noise))).clamp(max=1)
            return State(mean + s * _slerp(noise, -move, 2 / math.pi * torch.asin(share)))
        leaf = clean.detach().requires_grad_()
        _, gradient = misfit_gradient(leaf, leaf, step, self.space)
        return State(mean + s * _slerp(step.noise(mean), -gradient, self.rate))


def _slerp(a: Tensor, towards: Tensor, part: Tensor | float) -> Tensor:
    """Turn ``a`` by a fraction of its angle to the direction ``towards``; without such an angle, return it."""
    length, size = norms(a), norms(towards)
    b = length * towards / size.clamp(min=torch.finfo(a.dtype).tiny)
    cosine = (a * b).flatten(1).sum(1).reshape(length.shape) / length.square()
    theta = torch.acos(cosine.clamp(-1, 1))
    turned = (((1 - part) * theta).sin() * a + (part * theta).sin() * b) / torch.sin(theta)
    return torch.where((size > 0) & (cosine.abs() < 1 - 1e-6), turned, a)
