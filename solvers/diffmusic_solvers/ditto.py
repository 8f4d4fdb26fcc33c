"""DITTO: the noise that a short sampler begins from is optimised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import Optimisation, misfit_gradient, norms, unrolled


@dataclass(frozen=True)
class DITTO:
    """Optimisation of the initial noise through a whole sampler.

        z_0 = S(sigma_max n)                                     DDIM from the highest level to 0, in a few levels
        L   = ||T A V Dec(z_0) - T y||^2
        n  <- |n_0| unit(Adam(n, grad_n L))

    n: latents, (batch, ...), at first standard normal, and kept on the sphere it was drawn on, where the noise of a
    Gaussian lies: off it the sampler is asked for what it never saw. ``L`` is differentiated through decoder and every
    level of the sampler; what a level computed is computed again for it (``diffmusic.solver.unrolled``). Adam's steps
    have the length ``rate`` in each value of ``n``, which has unit variance, so that nothing depends on the scale of
    latents or misfit. An item that fits as well as the noise of the measurement allows is left where it is.

    Whatever is found is something that the sampler can make. Each iteration costs a pass of the decoder both ways, and
    for each level two forward passes of the network and one backward; one sampling more comes at the end.

    ``sgd`` is the code released with DiffMusic: plain gradient steps on ``sqrt(L)``, off the sphere, 100 of them with
    ``rate = 0.5`` through 20 levels. There the sampler draws fresh noise at every pass, which is left out: what is
    optimised would change from one iteration to the next.

    Source: Z. Novack et al., "DITTO", ICML 2024, arXiv:2401.12179, eq. 3 and Algorithm 1.
    """

    levels: Annotated[int, Field(ge=1), Doc("noise levels of the sampler")] = 4
    rate: Annotated[
        float, Field(gt=0), Doc("length of Adam's steps in units of the noise; factor of sgd's gradient")
    ] = 0.05
    optimiser: Annotated[Literal["adam", "sgd"], Doc("adam on the misfit, or sgd on its root as released")] = "adam"
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def optimise(self, task: Optimisation) -> Iterator[Tensor]:
        sigmas, adam = task.prior.backbone.sigmas(self.levels).tolist(), self.optimiser == "adam"
        noise = task.noise().requires_grad_()
        radius = norms(noise.detach())
        optimiser = (torch.optim.Adam if adam else torch.optim.SGD)([noise], lr=self.rate)
        clean = unrolled(task.prior, sigmas[0] * noise, sigmas)
        for left in reversed(range(task.steps)):
            excess, noise.grad = misfit_gradient(clean, noise, task, self.space, squared=adam)
            before = noise.detach().clone()
            optimiser.step()
            with torch.no_grad():
                moved = radius / norms(noise) * noise if adam else noise
                noise.copy_(torch.where(excess > 0, moved, before))
            with torch.set_grad_enabled(left > 0):
                clean = unrolled(task.prior, sigmas[0] * noise, sigmas)
            yield clean.detach()
