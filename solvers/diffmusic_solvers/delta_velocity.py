"""DVRF: the recording itself descends the difference of the target's and the source's velocities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.parameters import Doc, Field


@dataclass(frozen=True)
class DeltaVelocity:
    """Delta velocity rectified flow, for any denoiser: clean latents descend the difference of two velocities.

        e  = 0                                                          the edit so far, of the clean latents
        d  = E_n [D~(z_0 + (1 + c sigma) e + sigma n) - D(z_0 + sigma n)]
        V  = ((1 + c sigma) (1 - t) e - d) / t                          target's velocity less the source's
        e' = e - (t - t') (V + (1 - c) e),   t = sigma / (1 + sigma)
        c  = shift i / steps                                            from 0 at the first level towards ``shift``

    The target is asked further along the edit than it has come, ``c t e`` in the flow's ``x_t = (1 - t) x_0 + t n``,
    and what that lacks pulls the edit back. ``c = 1`` throughout is ``flow-edit``, whose state is ``(1 - t)`` times as
    large; ``c = 0`` is delta denoising. The mean is over ``averages`` draws. Written for velocities, it holds for every
    denoiser; ``t`` takes latents of unit variance. Two passes a level and draw.

    The released code has learning rates from a table of humps over 50 steps; here they are the flow's own ``t - t'``.

    Source: G. Beaudouin et al., "Delta velocity rectified flow", arXiv:2509.05342, eq. 6 and 8, and its code.
    """

    shift: Annotated[float, Field(ge=0, le=1), Doc("how far ahead along the edit the target is asked at the end")] = 1.0
    averages: Annotated[int, Field(ge=1), Doc("draws of noise at each level")] = 1

    def edit(self, task: Edit) -> Tensor:
        e = torch.zeros_like(task.each_target(task.z0))
        for index, sigma, sigma_next in task.levels():
            ahead = self.shift * index / (len(task.sigmas) - 1)
            time, later = sigma / (1 + sigma), sigma_next / (1 + sigma_next)
            d = torch.zeros_like(e)
            for draw in range(self.averages):
                z = task.z0 + sigma * task.noise(index * self.averages + draw)
                both = torch.cat([z, task.each_target(z) + (1 + ahead * sigma) * e])
                clean = task.denoise(both, sigma, [*[task.source] * len(z), *task.texts])
                d += (clean[len(z) :] - task.each_target(clean[: len(z)])) / self.averages
            velocity = ((1 + ahead * sigma) * (1 - time) * e - d) / time
            e = e - (time - later) * (velocity + (1 - ahead) * e)
            e = task.keep(e, torch.zeros_like(task.z0), sigma_next)
        return task.each_target(task.z0) + e
