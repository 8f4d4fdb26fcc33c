"""Loudness of the audio that a prior works on."""

from __future__ import annotations

import torch
from torch import Tensor

LEVEL = 0.1
"""Root mean square, full scale 1, to which a recording is scaled for the prior: -20 dBFS."""


def gain(power: Tensor) -> Tensor:
    """Return ``g = sqrt(power) / LEVEL``, the divisor of audio of that mean square for the prior; 1 for silence."""
    return torch.where(power > 0, power.sqrt() / LEVEL, torch.ones_like(power))
