"""RED-diff: the estimate is optimised, and the prior's denoiser tells it where music is."""

from dataclasses import dataclass
from typing import Annotated

import torch

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction


@dataclass(frozen=True)
class REDDiff:
    """``m' = m - pull (m - D(m + sigma n)) - gamma grad_m L``, from the highest noise level to 0.

    ``L = ||T A V Dec(m) - T y||^2`` and ``pull (m - D)`` is the paper's ``lambda_t (eps_theta - eps)`` with
    ``lambda_t = lambda sigma`` in this frame. The gradient step has a length, ``rate`` times the spread that is left,
    instead of Adam's. Source: M. Mardani et al., ICLR 2024, arXiv:2305.04391, Algorithm 1.
    """

    pull: Annotated[float, Field(gt=0, le=1), Doc("how far the estimate goes to the denoised one")] = 0.5
    rate: Annotated[float, Field(gt=0), Doc("length of the gradient step, in units of the remaining spread")] = 1.0
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        with torch.no_grad():
            clean = step.prior.denoise(state.z, step.sigma)
        before = clean if state.memory is None else state.memory
        data = correction(before, step, self.rate, self.space)
        estimate = before - self.pull * (before - clean) - data
        return State(estimate + step.sigma_next * step.noise(estimate), memory=estimate)
