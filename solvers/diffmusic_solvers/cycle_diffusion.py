"""CycleDiffusion: the sampler's noise given the recording, replayed under the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.editor.inversion import invert, posterior_path, replay
from diffmusic.parameters import Doc, Field


@dataclass(frozen=True)
class CycleDiffusion:
    """CycleDiffusion: a draw of the sampler's path given the recording, replayed under the target.

        z_{i+1} = z_0 + k (z_i - z_0) / sigma_i + s n_i          a draw of the path given the recording
        r_i     = z_{i+1} - m(z_i)                               under the source
        z~      <- m~(z~) + r_i                                  under the target

    The noise maps are distributed as those of sampling. It is the baseline that ``ddpm-inversion`` is compared with:
    its maps carry less of the recording's structure. Levels are those of the edit, not steps of the training grid.

    Source: C. H. Wu and F. De la Torre, "A latent space of stochastic diffusion models", arXiv:2210.05559, Algorithm 1.
    """

    eta: Annotated[float, Field(gt=0, le=1), Doc("fresh noise of the sampler that is inverted")] = 1.0

    def edit(self, task: Edit) -> Tensor:
        return replay(task, invert(task, posterior_path(task, self.eta), self.eta), self.eta)
