"""DDIM inversion: the sampler's ordinary differential equation, up under the source and down under the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.editor.ode import ascent, descent
from diffmusic.parameters import Doc, Field


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
        return descent(task, ascent(task, self.corrections).__getitem__)
