"""Moves between noise levels, shared by solvers and editors.

In the frame ``z_sigma = z_0 + sigma n``, with the clean estimate ``D`` at level ``sigma``, the next level ``sigma'``
and fresh noise ``n``:

    s = eta sigma' sqrt(1 - sigma'^2 / sigma^2),   k = sqrt(sigma'^2 - s^2)
    z' = D + k (z - D) / sigma + s n

``eta = 0`` is DDIM, ``eta = 1`` is DDPM. Both move as if ``z_0`` were ``D``. The difference of ``z_0`` from ``D`` has a
variance ``v``, and leaving that out makes the samples of a coarse walk too narrow: 26 % of the variance is gone after
25 levels. The optimal fresh noise has the variance ``s^2 + (1 - k / sigma)^2 v``; here it is

    s^2 + eta^2 (1 - k / sigma)^2 v

with a factor ``eta^2`` of our own, so that ``eta = 0`` stays deterministic. ``v``, the mean over the latent, can be
read off one item: ``sigma^2 = E|z - D|^2 + v``, because the error of a posterior mean is orthogonal to any function
of ``z``. Of a ``D`` that prompts guide (a weight other than 1) neither that nor ``Cov[z_0 | z] = sigma^2 dD/dz`` holds:
it is no posterior mean, and ``v`` is then what it says of the length of ``z - D``, no more.

Source: Song et al. 2021, arXiv:2010.02502, eq. 12 and 16, divided by ``sqrt(abar)``; for the optimal noise Bao et al.
2022, "Analytic-DPM", arXiv:2201.06503.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from diffmusic.solver.contract import Step


def deviations(sigma: float, sigma_next: float, eta: float) -> tuple[float, float]:
    """Return ``(k, s)``: the kept and the fresh part of the noise at the next level (module docstring)."""
    s = eta * sigma_next * math.sqrt(max(0.0, 1.0 - (sigma_next / sigma) ** 2))
    return math.sqrt(max(0.0, sigma_next**2 - s**2)), s


def uncertainty(z: Tensor, denoised: Tensor, sigma: float) -> Tensor:
    """Return ``v = max(0, sigma^2 - |z - D|^2 / dim)``, the mean variance of ``z_0`` given ``z``, one value an item.

    denoised: ``D`` before it is fitted to a measurement; guided by prompts it gives no variance (module docstring).
    """
    return (sigma**2 - (z - denoised).square().flatten(1).mean(1)).clamp(min=0)


def transition(z: Tensor, clean: Tensor, step: Step, eta: float, variance: Tensor | float = 0.0) -> Tensor:
    """Move from ``z`` at ``step.sigma`` to ``step.sigma_next`` by way of ``clean`` (module docstring).

    variance: ``v``, of shape (batch,); 0 leaves it out. At the last level nothing is added to ``clean``.
    """
    k, s = deviations(step.sigma, step.sigma_next, eta)
    moved = clean + (k / step.sigma) * (z - clean)
    if s == 0:
        return moved
    fresh = s**2 + (eta * (1 - k / step.sigma)) ** 2 * torch.as_tensor(variance, dtype=z.dtype, device=z.device)
    return moved + fresh.sqrt().reshape(-1, *[1] * (z.ndim - 1)) * step.noise(z)


def time_travel(move: Callable[[Tensor, Step], Tensor], z: Tensor, step: Step, repeats: int) -> Tensor:
    """Move between two noise levels ``repeats`` times, and return the last ``z'``; in between ``z`` goes back up:

        z <- z' + sqrt(sigma^2 - sigma'^2) n

    move: from ``z`` at ``step.sigma`` to ``z'`` at ``step.sigma_next``. From the last level, 0, nothing goes back up.

    Source: A. Lugmayr et al., "RePaint", CVPR 2022, arXiv:2201.09865.
    """
    z = move(z, step)
    if step.sigma_next > 0:
        climb = math.sqrt(step.sigma**2 - step.sigma_next**2)
        for _ in range(repeats - 1):
            z = move(z + climb * step.noise(z), step)
    return z


def mean(z: Tensor, clean: Tensor, sigma: float, sigma_next: float, eta: float) -> Tensor:
    """Return ``m(z) = D + k (z - D) / sigma``: the transition of ``diffmusic.solver`` before it adds noise."""
    k, _ = deviations(sigma, sigma_next, eta)
    return clean + (k / sigma) * (z - clean)
