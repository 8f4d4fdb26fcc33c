"""FlowEdit: follow the difference of source and target on the same noise, without inversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.parameters import Doc, Field
from diffmusic.solver import mean


@dataclass(frozen=True)
class FlowEdit:
    """FlowEdit for any denoiser: the edit follows the difference of the two prompts on shared noise.

        e  = 0                                                          the edit so far, at noise level sigma
        d  = E_n [D~(z_0 + e + sigma n) - D(z_0 + sigma n)]             target less source on shared noise
        e' = d + sigma' (e - d) / sigma,     z = z_0 + e at sigma = 0

    The mean is over ``averages`` draws, new at each level. In the velocities ``v = (z - D) / sigma`` this is Euler's
    step ``e' = e + (sigma' - sigma) (v~ - v)``. FlowEdit's own state, on ``x_t = (1 - t) x_0 + t n``, is ``x_0 + (1 -
    t) e``; the frames' steps are the same to the last digit, so that flow, variance-exploding and variance-preserving
    networks share the method. Below ``release`` the target is sampled alone (FlowEdit's ``n_min``). A target equal to
    the source leaves the recording as it is.

    Source: V. Kulikov et al., "FlowEdit", arXiv:2412.08629, Algorithm 1.
    """

    averages: Annotated[int, Field(ge=1), Doc("draws of noise at each level")] = 1
    release: Annotated[float, Field(ge=0), Doc("noise level below which the target is sampled alone")] = 0.0

    def edit(self, task: Edit) -> Tensor:
        e = torch.zeros_like(task.each_target(task.z0))
        free: Tensor | None = None
        for index, sigma, sigma_next in task.levels():
            if sigma > self.release:
                d = torch.zeros_like(e)
                for draw in range(self.averages):
                    z = task.z0 + sigma * task.noise(index * self.averages + draw)
                    both = torch.cat([z, task.each_target(z) + e])
                    clean = task.denoise(both, sigma, [*[task.source] * len(z), *task.texts])
                    d += (clean[len(z) :] - task.each_target(clean[: len(z)])) / self.averages
                e = mean(e, d, sigma, sigma_next, eta=0.0)
                e = task.keep(e, torch.zeros_like(task.z0), sigma_next)
                continue
            if free is None:
                free = task.each_target(task.z0 + sigma * task.noise(index * self.averages)) + e
            free = mean(free, task.denoise(free, sigma, task.texts), sigma, sigma_next, eta=0.0)
            free = task.keep(free, task.z0 + sigma_next * task.noise(index * self.averages), sigma_next)
        return task.each_target(task.z0) + e if free is None else free
