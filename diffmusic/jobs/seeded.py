"""Randomness of third-party code that draws outside the generators it is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's own generators inside; outside they stay as the caller left them."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
