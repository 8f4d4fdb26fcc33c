"""RED: an estimate is optimised under the data, and a denoiser at one noise level is the regulariser."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import Optimisation, correction


@dataclass(frozen=True)
class RED:
    """``z <- z - pull (z - D(z, level)) - gamma grad_z L``, from the prior's mean.

    ``L = ||T A V Dec(z) - T y||^2``, and ``gamma`` makes it least along its gradient. ``z - D(z, level)`` is the
    gradient of the paper's regulariser, ``z^T (z - D(z)) / 2``. It seeks one estimate. Source: Y. Romano, M. Elad and
    P. Milanfar, "The little engine that could", SIAM J. Imaging Sci. 10(4), 2017, arXiv:1611.02862, eq. 15 and 24.
    """

    level: Annotated[float, Field(gt=0), Doc("noise level of the denoiser, in units of the latents")] = 0.5
    pull: Annotated[float, Field(gt=0, le=1), Doc("how far the estimate goes to the denoised one")] = 1.0
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def optimise(self, task: Optimisation) -> Iterator[Tensor]:
        highest = float(task.prior.backbone.sigmas(1)[0])
        with torch.no_grad():
            z = task.prior.denoise(highest * task.noise(), highest)
        for _ in range(task.steps):
            with torch.no_grad():
                z = z - self.pull * (z - task.prior.denoise(z, self.level))
            z = z - correction(z, task, None, self.space)
            yield z
