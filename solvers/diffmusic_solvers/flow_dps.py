"""FlowDPS: the flow's clean and noisy ends apart; the first is fitted to the data, the second partly drawn anew."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction, misfit_gradient


@dataclass(frozen=True)
class FlowDPS:
    """Posterior sampling that decomposes the flow's step (FlowDPS), on any denoiser.

        D  = denoise(z, sigma),   e = (z - D) / sigma            the flow's two ends: x_t = (1 - t) D + t e
        D* = D - t (D - D_J),   D_J = D after ``corrections`` data steps,   t = sigma / (1 + sigma)
        z' = D* + sigma' (sqrt(t') e + sqrt(1 - t') n),   t' = sigma' / (1 + sigma')

    z: latents, (batch, ...). Each data step makes ``L = ||T A V Dec(D) - T y||^2`` least along its gradient
    (``diffmusic.solver.correction``); a given ``zeta`` steps along the gradient of ``sqrt(L)``, as published. The data
    count in full where noise is all there is and not at all at the end, which the released code does too; the share of
    fresh noise grows from none to all of it. ``t`` takes latents of unit variance, for networks that preserve variance
    as for flows.

    Source: J. Kim et al., "FlowDPS", ICCV 2025, arXiv:2503.08136, Algorithm 1, and its code.
    """

    zeta: Annotated[float | None, Field(gt=0), Doc("step size as published; without one it is searched for")] = None
    corrections: Annotated[int, Field(ge=1), Doc("data steps at each noise level")] = 3
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        with torch.no_grad():
            clean = step.prior.denoise(state.z, step.sigma)
        fitted = clean
        for _ in range(self.corrections):
            if self.zeta is None:
                fitted = fitted - correction(fitted, step, None, self.space)
                continue
            leaf = fitted.detach().requires_grad_()
            fitted = fitted - self.zeta * misfit_gradient(leaf, leaf, step, self.space, squared=False)[1]
        end, time, later = (state.z - clean) / step.sigma, _time(step.sigma), _time(step.sigma_next)
        clean = clean + time * (fitted - clean)
        if step.sigma_next == 0:
            return State(clean)
        end = math.sqrt(later) * end + math.sqrt(1 - later) * step.noise(end)
        return State(clean + step.sigma_next * end)


def _time(sigma: float) -> float:
    return sigma / (1 + sigma)
