"""DDIM inversion: the sampler's ordinary differential equation, up under the source and down under the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.parameters import Doc, Field
from diffmusic.solver import mean


@dataclass(frozen=True)
class DDIMInversion:
    """DDIM inversion: up to the edit's noise level under the source, and down under the target.

        up:    z_b = z_a + (sigma_b - sigma_a) (z_a - D(z_a, sigma_b)) / sigma_b      under the source, from sigma_a = 0
        down:  z_a = D(z_b, sigma_b) + sigma_a (z_b - D(z_b, sigma_b)) / sigma_b      under the target

    The way up would undo the way down if ``D`` were taken at ``z_b``, which is not known yet. ``corrections`` takes it
    at the last estimate of ``z_b`` instead, repeatedly (fixed-point iteration): one network pass a level each. Guidance
    of the source makes the two directions disagree more; it is best left low. There is no fresh noise: the samples of a
    target are all the same.

    Source: J. Song et al., arXiv:2010.02502; P. Dhariwal and A. Nichol, arXiv:2105.05233, appendix F.
    """

    corrections: Annotated[int, Field(ge=0), Doc("fixed-point iterations at each level on the way up")] = 0

    def edit(self, task: Edit) -> Tensor:
        path = self.ascent(task)
        z = task.each_target(path[0])
        for index, sigma, sigma_next in task.levels(0.5):
            z = mean(z, task.denoise(z, sigma, task.texts), sigma, sigma_next, eta=0.0)
            z = task.keep(z, path[index + 1], sigma_next)
        return z

    def ascent(self, task: Edit) -> Tensor:
        """Return the inverted path, (levels + 1, items, ...), from the highest level to ``z_0``."""
        path, low = [task.z0], 0.0
        for number, high in enumerate(reversed(task.sigmas[:-1]), 1):
            z = path[-1]
            for _ in range(1 + self.corrections):
                direction = (z - task.denoise(z, high, task.source)) / high
                z = path[-1] + (high - low) * direction
            path.append(z)
            low = high
            task.tick(0.5 * number / (len(task.sigmas) - 1))
        return torch.stack(path[::-1])
