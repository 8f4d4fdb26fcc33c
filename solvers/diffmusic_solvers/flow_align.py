"""FlowAlign: FlowEdit with guidance from source to target, and a pull back to the source."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.parameters import Doc, Field
from diffmusic.solver import mean


@dataclass(frozen=True)
class FlowAlign:
    """FlowAlign for any denoiser: the edit follows the target on shared noise, and keeps near the source's own way.

        e  = 0                                                          the edit so far, at noise level sigma
        p  = z_0 + e + sigma n,   q = z_0 + sigma n                     shared noise
        D~ = D_source(p) + w (D_target(p) - D_source(p))                guidance away from the source, not from nothing
        d  = D~ - D_source(q)
        e' = d + sigma' (e - d) / sigma - source_pull (1 + sigma') d,   z = z_0 + e at sigma = 0

    ``w`` is the guidance weight of the target; negative prompts and the source's weight take no part. The first terms
    are Euler's step of the velocities, as in ``flow-edit``, and the last is the paper's ``zeta (D_source(q) - D~)``,
    written for ``x_t = (1 - t) x_0 + t n`` and its edit ``(1 - t) e``. That holds for every denoiser. Three passes a
    level.

    Source: J. Kim et al., "FlowAlign", arXiv:2505.23145, Algorithm 1, and its code, where ``zeta`` is 0.01.
    """

    source_pull: Annotated[float, Field(ge=0, lt=1), Doc("zeta: how hard the edit is pulled to the source")] = 0.01

    def edit(self, task: Edit) -> Tensor:
        e = torch.zeros_like(task.each_target(task.z0))
        own_text, *plain = (dataclasses.replace(text, contrast=None) for text in (task.source, *task.texts))
        weights = torch.tensor([text.guidance for text in task.texts]).to(e).reshape(-1, *[1] * (e.ndim - 1))
        for index, sigma, sigma_next in task.levels():
            q = task.z0 + sigma * task.noise(index)
            p = task.each_target(q) + e
            clean = task.denoise(torch.cat([q, p, p]), sigma, [*[own_text] * (len(q) + len(p)), *plain])
            source, own, target = clean.split([len(q), len(p), len(p)])
            d = own + weights * (target - own) - task.each_target(source)
            e = mean(e, d, sigma, sigma_next, eta=0.0) - self.source_pull * (1 + sigma_next) * d
            e = task.keep(e, torch.zeros_like(task.z0), sigma_next)
        return task.each_target(task.z0) + e
