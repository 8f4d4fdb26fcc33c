"""EnKG: an ensemble of walks guided by its own covariances; the operator, the decoder and the network go forwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem import Space
from diffmusic.solver import State, Step, mean


@dataclass(frozen=True)
class EnKG:
    """Ensemble Kalman guidance: for operators that cannot be differentiated.

        D_j = denoise(z_j, sigma),   F_j = T A V Dec(D_j)        for each of ``members`` walks of an item
        c_ij = <F_i - T y, F_j - mean F> / J
        z_i <- z_i - w sum_j c_ij (z_j - mean z)                 ``updates`` times
        z'_i = D_i + sigma' (z_i - D_i) / sigma                  Euler's step of the probability flow

    z: latents, (batch, ...), one walk of each item; the others are the solver's memory, and draw from the item's own
    generator. ``sum_j (z_j - mean z) (F_j - mean F)^T / J`` stands for the covariance times the derivative of ``F``, so
    that nothing is differentiated; the Frobenius norm ``|c|`` takes the scale of the features out. The published step
    is ``w = guidance / |c|`` at every level: what is random in the covariance adds up, and more levels are worse. Here
    it goes with the way between two levels, ``w = guidance (1 - sigma' / sigma) / |c|``. The estimate moves within the
    span of the ensemble: with few members it can only choose among what they differ by. A member whose misfit is no
    more than noise explains stays, and the last level is not guided.

    The paper takes the end of the flow for ``D`` (several passes of the network), and 1,024 members; its released code
    leaves the first levels unguided too. A level costs ``members`` passes of the network and the decoder forwards for
    each update, and those of the network once more.

    Source: H. Zheng et al., "Ensemble Kalman diffusion guidance", arXiv:2409.20175, Algorithm 1, and its code in
    InverseBench, arXiv:2503.11043.
    """

    members: Annotated[int, Field(ge=2), Doc("walks of each item")] = 16
    guidance: Annotated[float, Field(gt=0), Doc("length of the updates, in units of the ensemble's spread")] = 2.0
    updates: Annotated[int, Field(ge=1), Doc("updates of the ensemble at each noise level")] = 1
    space: Annotated[Space, Doc("where the misfit is taken")] = "mel"

    def step(self, state: State, step: Step) -> State:
        if step.prior.sources > 1:
            raise InputError("enkg restores one source: take another solver for a mixture")
        with torch.no_grad():
            others = [step.sigma * step.noise(state.z) for _ in range(self.members - 1)]
            z = torch.stack([state.z, *others]) if state.memory is None else state.memory
            for _ in range(self.updates if step.sigma_next > 0 else 0):
                z = z - self._guidance(z, step)
            moved = mean(z, self._denoised(z, step), step.sigma, step.sigma_next, eta=0.0)
        return State(moved[0], memory=moved)

    def _denoised(self, z: Tensor, step: Step) -> Tensor:
        return torch.stack([step.prior.denoise(each, step.sigma) for each in z])

    def _guidance(self, z: Tensor, step: Step) -> Tensor:
        """The step of all members, (members, batch, ...), to be subtracted."""
        errors = torch.stack(
            [step.problem.residual(step.prior.decode(each), self.space) for each in self._denoised(z, step)]
        )
        apart = errors - errors.mean(0)
        c = torch.einsum("ibv,jbv->bij", errors, apart) / len(z)
        size = c.flatten(1).norm(dim=1).clamp(min=torch.finfo(c.dtype).tiny)
        w = self.guidance * (1 - step.sigma_next / step.sigma) / size
        kept = torch.where(errors.square().sum(2) > step.problem.floor(self.space), w, 0.0)
        return torch.einsum("ib,bij,jb...->ib...", kept, c, z - z.mean(0))
