"""Unconditioned inversion: a DPM-Solver++ step run backwards with the model's output fixed to the clean latent.

Neither network nor prompt is used. With ``x_0`` the clean latent, ``t`` noisier than ``t-1``, ``lambda = ln(alpha /
sigma)``:

    SDE, eq. 6:  x_t = (sigma_t / sigma_(t-1)) e^(lambda_(t-1) - lambda_t)
                       (x_(t-1) - alpha_(t-1) (1 - e^(-2 (lambda_(t-1) - lambda_t))) x_0)
    ODE, eq. 8:  x_t = (sigma_t / sigma_(t-1)) (x_(t-1) - sigma_(t-1) (e^lambda_(t-1) - e^lambda_t) x_0)

In the frame ``z = x / alpha``, with ``s = sigma / alpha`` the noise level, both say ``z_t - z_0 = (s_t / s_(t-1))^p
(z_(t-1) - z_0)`` with ``p = 2`` (SDE) or 1 (ODE), and so, from the level ``s_1`` at which the recursion starts,

    z_t = z_0 + (s_t / s_1)^p (z_1 - z_0)

Everything depends on the start. The variance-exploding schedule (Stable Audio, the paper's model) has ``alpha = 1`` and
starts at ``z_1 = x_0 = z_0``: **the inverted latent is the clean latent, at every level**. A variance-preserving one
that starts with ``x_1 = x_0`` has ``z_1 = sqrt(1 + s_1^2) z_0``, and the inverted latent is the clean one times a
factor that grows with the noise (for the SDE and a small ``s_1`` it is ``1 + s_t^2 / 2``). The recursion itself
multiplies rounding by ``(s_t / s_1)^p``, three million on Stable Audio's levels: the code computes the closed form, and
the recursion serves only as a test.

Source: J. Liu and E. Lian, "Abstract Sound Fusion with Unconditioned Inversion Model".
"""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

Kind = Literal["sde", "ode"]


def inverted(clean: Tensor, sigma: float, kind: Kind = "sde", start: float | None = None) -> Tensor:
    """Return the inverted latent, of the shape of the clean latent:

        z_t = (1 + (sqrt(1 + s_1^2) - 1) (s_t / s_1)^p) z_0

    Args:
        sigma: ``s_t``.
        start: ``s_1``, the lowest level of a variance-preserving schedule; None for a variance-exploding one, which
            returns the clean latent. Below ``start`` nothing has been inverted yet.
    """
    if start is None or sigma <= 0:
        return clean
    # sqrt(1 + s^2) - 1 without cancellation
    excess = start**2 / (math.sqrt(1 + start**2) + 1)
    return clean * (1 + excess * (max(sigma, start) / start) ** (2 if kind == "sde" else 1))


def noise_map(z: Tensor, clean: Tensor, sigma: float) -> Tensor:
    """Return ``(z_t - z_0) / s_t``, the noise that would make ``z_t`` of the clean latent (eq. 9)."""
    return (z - clean) / sigma


def retained_deviation(sigma: float, sigma_below: float) -> float:
    """Return the deviation of the noise in an inverted latent that keeps the SDE's stochastic term:

        s_t sqrt((s_t / s_b)^2 - 1),   inverted in one step from s_b = ``sigma_below`` (section 4.1.1, case c)

    Kept in every step from ``s_1`` on it adds up to the same with ``s_b = s_1``: more noise than the level stands for,
    without bound. There is none at the level that the inversion starts at, which has 0 below it.
    """
    return sigma * math.sqrt((sigma / sigma_below) ** 2 - 1) if sigma_below > 0 else 0.0
