"""SDEdit: add noise, and denoise towards the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.parameters import Doc, Field
from diffmusic.solver import deviations, mean


@dataclass(frozen=True)
class SDEdit:
    """SDEdit: noise is added up to the edit's level, and removed under the target.

        z  = z_0 + sigma_0 n_0
        z' = D + k (z - D) / sigma + s n,   D = denoise(z, sigma) under the target

    z: latents, (targets * items, ...). Where segments are edited, the rest is the source with the noise of its level.
    The source's text is not used.

    Source: C. Meng et al., "SDEdit", ICLR 2022, arXiv:2108.01073.
    """

    eta: Annotated[float, Field(ge=0, le=1), Doc("fresh noise: 0 is DDIM, 1 is DDPM")] = 1.0

    def edit(self, task: Edit) -> Tensor:
        z = task.each_target(task.z0 + task.sigmas[0] * task.noise(0))
        for index, sigma, sigma_next in task.levels():
            clean = task.denoise(z, sigma, task.texts)
            _, s = deviations(sigma, sigma_next, self.eta)
            fresh = task.noise(index + 1)
            z = mean(z, clean, sigma, sigma_next, self.eta) + s * task.each_target(fresh)
            z = task.keep(z, task.z0 + sigma_next * fresh, sigma_next)
        return z
