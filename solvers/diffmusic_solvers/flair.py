"""FLAIR: variational, with the data met at every level and noise that follows the flow's own trajectory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, correction


@dataclass(frozen=True)
class FLAIR:
    """Flow-based posterior sampling by optimisation of one estimate ``m``, with hard data consistency.

        D  = denoise(m + sigma e, sigma)
        m' = m - pull (m - D),   then ``corrections`` data steps, none once the data are met
        e' = a f + sqrt(1 - a^2) n,   f = (m + sigma e - D) / sigma,   a = 1 / (1 + sigma')

    m: clean latents, (batch, ...), the network's first answer at the beginning. ``f`` is the noise that the flow
    predicts, carried to the next level the more the lower that is (``a = 1 - t``): the trajectory adjustment. A data
    step makes ``L = ||T A V Dec(m) - T y||^2`` least along its gradient (``diffmusic.solver.correction``).

    The paper's regulariser ``lambda (v - u)`` with ``u = e - m`` is ``lambda / t (m - D)``. It weighs it by the
    network's squared error at each level, measured on images; for music there is no such table, and ``pull``, its
    ``lambda / t``, is one number for all levels. Unlike there, ``m`` does not begin at the encoded measurement, which
    not every operator has. All of it holds for any denoiser.

    Source: J. Erbach et al., "FLAIR", NeurIPS 2025, arXiv:2506.02680, Algorithm 1, and its code.
    """

    pull: Annotated[float, Field(gt=0, le=1), Doc("how far the estimate goes to the denoised one")] = 1.0
    corrections: Annotated[int, Field(ge=1), Doc("data steps at each noise level, at most")] = 4
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        with torch.no_grad():
            clean = step.prior.denoise(state.z, step.sigma)
        before = clean if state.memory is None else state.memory
        estimate = before - self.pull * (before - clean)
        for _ in range(self.corrections):
            estimate = estimate - correction(estimate, step, None, self.space)
        if step.sigma_next == 0:
            return State(estimate)
        kept = 1 / (1 + step.sigma_next)
        noise = kept * (state.z - clean) / step.sigma + math.sqrt(1 - kept**2) * step.noise(clean)
        return State(estimate + step.sigma_next * noise, memory=estimate)
