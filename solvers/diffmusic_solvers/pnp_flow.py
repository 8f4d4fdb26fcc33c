"""PnP-Flow: data step, noise for the next level, denoiser, in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction


@dataclass(frozen=True)
class PnPFlow:
    """Plug-and-play with a flow's denoiser: data step, noise, denoiser.

        u  = x - gamma t^decay grad L(x),   t = sigma / (1 + sigma)
        x' = E_n denoise(u + sigma n, sigma)                     a mean over ``averages`` draws of n

    x: clean latents, (batch, ...); ``L(x) = ||T A V Dec(x) - T y||^2``. The paper writes ``z = t n + (1 - t) u`` and
    ``D_t(z) = z - t v_t(z)``: with ``z / (1 - t) = u + sigma n`` it is the same for every denoiser, so that it runs on
    networks that preserve variance as on flows. ``gamma`` makes ``L`` least along the gradient
    (``diffmusic.solver.correction``), so that ``decay`` may be 0; a given ``rate`` is the length of the step in units
    of the remaining spread. The last thing is the data step, where the paper ends with the denoiser, which at level 0
    changes nothing.

    No gradient goes through the network. It seeks one estimate: its spread is too small.

    Source: S. Martin et al., "PnP-Flow", ICLR 2025, arXiv:2410.02423, Algorithm 3.
    """

    rate: Annotated[
        float | None, Field(gt=0), Doc("length of the data step, in units of the remaining spread, without a search")
    ] = None
    decay: Annotated[float, Field(ge=0), Doc("power of the flow's time by which data steps shrink")] = 0.0
    averages: Annotated[int, Field(ge=1), Doc("draws of noise at each level")] = 1
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        z, time = state.z, step.sigma / (1 + step.sigma)
        with torch.no_grad():
            clean = step.prior.denoise(z, step.sigma)
            for _ in range(self.averages - 1 if state.memory is not None else 0):
                clean = clean + step.prior.denoise(state.memory + step.sigma * step.noise(z), step.sigma)
        clean = clean / (self.averages if state.memory is not None else 1)
        fitted = clean - time**self.decay * correction(clean, step, self.rate, self.space)
        return State(fitted + step.sigma_next * step.noise(z) if step.sigma_next > 0 else fitted, memory=fitted)
