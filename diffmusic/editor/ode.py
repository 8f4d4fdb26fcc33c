"""The sampler's ordinary differential equation, up under the source and down under the target.

    up:    z_b = z_a + (sigma_b - sigma_a) (z_a - D(z_a, sigma_b)) / sigma_b      from sigma_a = 0
    down:  z_a = D(z_b, sigma_b) + sigma_a (z_b - D(z_b, sigma_b)) / sigma_b

Source: J. Song et al., arXiv:2010.02502; P. Dhariwal and A. Nichol, arXiv:2105.05233, appendix F.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.editor.inversion import Points
from diffmusic.solver.steps import mean


def ascent(task: Edit, corrections: int = 0) -> Tensor:
    """Return the inverted path, (levels + 1, items, ...), from the highest level to ``z_0``.

    Args:
        task: The recording, under its source's text.
        corrections: Fixed-point iterations at each level: ``D`` is taken at the last estimate of ``z_b``.
    """
    path, low = [task.z0], 0.0
    for number, high in enumerate(reversed(task.sigmas[:-1]), 1):
        z = path[-1]
        for _ in range(1 + corrections):
            direction = (z - task.denoise(z, high, task.source)) / high
            z = path[-1] + (high - low) * direction
        path.append(z)
        low = high
        task.tick(0.5 * number / (len(task.sigmas) - 1))
    return torch.stack(path[::-1])


def descent(task: Edit, points: Points) -> Tensor:
    """Sample from the highest point of a path under the targets, (targets * items, ...)."""
    z = task.each_target(points(0))
    for index, sigma, sigma_next in task.levels(0.5):
        z = mean(z, task.denoise(z, sigma, task.texts), sigma, sigma_next, eta=0.0)
        z = task.keep(z, points(index + 1), sigma_next) if task.regions else z
    return z
