"""Random numbers that several tests draw."""

import torch
from torch import Tensor


def normal(seed: int, *shape: int) -> Tensor:
    """Standard normal, float64: a function of its seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
