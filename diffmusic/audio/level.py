"""The level at which a prior is shown music."""

from __future__ import annotations

import torch
from torch import Tensor

LEVEL = 0.1
"""Root mean square, full scale 1, to which a recording is brought for the prior: -20 dBFS."""


def gain(power: Tensor) -> Tensor:
    """``g = sqrt(power) / LEVEL``, by which audio of that mean square is divided for the prior; 1 for silence."""
    return torch.where(power > 0, power.sqrt() / LEVEL, torch.ones_like(power))
