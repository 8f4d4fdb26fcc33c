"""DAPS: draw a clean latent from the prior, fit it to the data, and add fresh noise for the next level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction, uncertainty


@dataclass(frozen=True)
class DAPS:
    """Decoupled annealing posterior sampling: a draw from the prior is fitted to the data at every noise level.

        D   = denoise(z, sigma),   v = max(0, sigma^2 - |z - D|^2 / dim)
        x_0 = D + sqrt(v) n                                      a draw from the prior, p(z_0 | z)
        x_j = x_{j-1} - gamma grad L(x_{j-1})                    gamma makes L least along the gradient
        z'  = x_J + sigma' n'                                    independent of z: no error is carried along

    z: latents, (batch, ...); ``L(x) = ||T A V Dec(x) - T y||^2``, its gradient through vocoder and decoder only. At the
    last level there is nothing to draw, and ``x_0 = D``. ``unit``, ``dim`` and ``v`` are of one item.

    The estimate differs from the paper's. There it is the end of the probability-flow ODE, and ``p(z_0 | z) = N(.,
    sigma^2 I)`` (eq. 7). The ODE's end has the prior's own spread already, and adding to it can double the variance;
    the posterior mean with the missing variance (``diffmusic.solver``) leaves a Gaussian prior as it is, and costs one
    pass through the network.

    The data step differs too. Langevin's (eq. 6 and 7) needs ``1 / noise^2`` and a step below the misfit's steepest
    curvature: through a decoder into log-mel that curvature spans decades and the noise is the model's own error. Here
    the draw comes first and the descent after it, by line searches as in ``diffmusic``: perturbing and then fitting
    samples the posterior of a linear operator too, and no scale matters. It stops where ``L(x)`` is no more than the
    noise of the measurement explains. With a ``rate`` the ``j``-th step has a length instead, ``(rate / j) sqrt(dim)
    s`` with ``s = sigma / sqrt(1 + sigma^2)``, so that the descent stays near ``x_0``.

    On a Gaussian prior it is exact in the limit of many levels; the error of the mean falls as one over their number,
    because ``v I`` ignores how the latent's parts depend on each other, and each ``denoise`` makes up for it.

    Source: B. Zhang et al., CVPR 2025, arXiv:2407.01521, Proposition 1.
    """

    rate: Annotated[
        float | None, Field(gt=0), Doc("length of the first step, in units of the remaining spread, without a search")
    ] = None
    corrections: Annotated[int, Field(ge=1), Doc("data steps at each noise level")] = 4
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        with torch.no_grad():
            x = step.prior.denoise(state.z, step.sigma)
        if step.sigma_next > 0:
            variance = uncertainty(state.z, x, step.sigma).reshape(-1, *[1] * (x.ndim - 1))
            x = x + variance.sqrt() * step.noise(x)
        for number in range(1, self.corrections + 1):
            x = x - correction(x, step, self.rate, self.space) / (number if self.rate else 1)
        return State(x + step.sigma_next * step.noise(x) if step.sigma_next > 0 else x)
