"""A deterministic sampler that can be differentiated as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from diffmusic.prior.prior import Prior
from diffmusic.solver.steps import mean


def unrolled(prior: Prior, z: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Return the latents at ``sigmas[-1]`` that DDIM, ``z' = D + sigma' (z - D) / sigma``, reaches from ``z``.

    Where a gradient is wanted no level keeps what its network computed: the backward pass computes it again, which
    counts as a forward pass, so that memory holds one level at a time.

    Args:
        prior: The prior.
        z: Latents at ``sigmas[0]``, (batch, ...).
        sigmas: Decreasing noise levels.

    Source: T. Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174.
    """
    for sigma, sigma_next in pairwise(sigmas):

        def move(z: Tensor, sigma: float = sigma, sigma_next: float = sigma_next) -> Tensor:
            return mean(z, prior.denoise(z, sigma), sigma, sigma_next, eta=0.0)

        with set_checkpoint_early_stop(False):  # else the pass ends before it is counted
            z = checkpoint(move, z, use_reentrant=False) if z.requires_grad else move(z)
    return z
