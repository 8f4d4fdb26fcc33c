"""RED-diff: the estimate is optimised, and the prior's denoiser tells it where music is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction


@dataclass(frozen=True)
class REDDiff:
    """Regularisation by denoising of one estimate ``m``, from the highest noise level to 0.

        D  = denoise(m + sigma n, sigma)
        m' = m - pull (m - D) - gamma grad_m L(m)

    m: clean latents, (batch, ...), the network's first answer at the beginning; ``L(m) = ||T A V Dec(m) - T y||^2``.
    ``pull (m - D)`` is the paper's ``lambda_t (eps_theta - eps)``: with ``x_t = alpha m + sigma_t eps`` it is
    ``lambda_t (m - D) / sigma`` in this frame, and ``lambda_t = pull sigma`` is its weight by the square root of the
    signal-to-noise ratio. The data step is the one that makes ``L`` least (``diffmusic.solver.correction``), or with a
    ``rate`` it has a length; the paper leaves both to Adam.

    It seeks one estimate, the mode of a Gaussian of no spread, and no samples of the posterior.

    Source: M. Mardani et al., ICLR 2024, arXiv:2305.04391, eq. 10 and Algorithm 1.
    """

    pull: Annotated[float, Field(gt=0, le=1), Doc("how far the estimate goes to the denoised one")] = 0.5
    rate: Annotated[
        float | None,
        Field(gt=0),
        Doc("length of the gradient step, in units of the remaining spread, without a search"),
    ] = None
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        with torch.no_grad():
            clean = step.prior.denoise(state.z, step.sigma)
        before = clean if state.memory is None else state.memory
        data = correction(before, step, self.rate, self.space)
        estimate = before - self.pull * (before - clean) - data
        moved = estimate + step.sigma_next * step.noise(estimate) if step.sigma_next > 0 else estimate
        return State(moved, memory=estimate)
