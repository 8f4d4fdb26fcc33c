"""Seeded noise: one generator an item, drawn on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def generator(*key: int) -> torch.Generator:
    """Return a CPU generator determined by its key alone, such as (seed, sample, window)."""
    words = np.random.SeedSequence([int(word) for word in key]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 31 ^ int(words[1]))


def normal(shape: Sequence[int], generators: Sequence[torch.Generator], like: Tensor) -> Tensor:
    """Draw standard normal noise, (batch, ...): item ``i`` comes from ``generators[i]`` and nothing else.

    It is drawn on the CPU in float32 whatever the device and dtype, so that a seed means the same everywhere.
    """
    draws = [torch.randn(tuple(shape), generator=each, dtype=torch.float32) for each in generators]
    return torch.stack(draws).to(device=like.device, dtype=like.dtype)
