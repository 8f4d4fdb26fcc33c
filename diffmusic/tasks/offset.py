"""The mean of a recording, which no prior and no prediction holds: taken off before a gap is solved, put back after."""

from __future__ import annotations

import torch
from torch import Tensor

from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.operator import kept

LEAST = 1e-3
"""Full scale 1: the mean of music is some hundred times smaller."""


def mean_offset(bound: BoundOperator, y: Tensor) -> Tensor:
    """Return the mean of what was observed of each channel, (1, channels, 1).

    It is 0 where it is as small as music alone makes it, and for an operator that does more than take stretches out of
    one recording.
    """
    mask = kept(bound.operator, y.shape[-1])
    if not _is_gapped(bound, y, mask):
        return torch.zeros(1, dtype=y.dtype)
    mean = (y * mask).sum(-1, keepdim=True) / mask.sum().clamp(min=1)
    return torch.where(mean.abs() > LEAST, mean, 0.0)


def _is_gapped(bound: BoundOperator, y: Tensor, mask: Tensor) -> bool:
    if not (bound.has_damage and bound.linear and bound.sources == 1) or bound.has_own_rate or y.ndim != 3:
        return False
    return bool(torch.equal(bound.operator.forward(torch.ones_like(y[:, :1])), mask[None, None]))
