"""DPM-Solver++ in the sigma frame: moves between noise levels of orders 1, 2 and 3, with and without fresh noise.

In the frame ``z_sigma = z_0 + sigma n`` half the log signal-to-noise ratio is ``lambda = -ln sigma`` for every
schedule, and ODE and SDE have one solution, with ``p = 1`` for the ODE, ``p = 2`` for the SDE, ``h = ln(sigma /
sigma')``, ``g = (sigma' / sigma)^p`` and ``n`` fresh:

    z' = g z + p int_0^h exp(-p (h - tau)) D(tau) dtau + sigma' sqrt(1 - g) n            the last term: SDE only

The order says how ``D`` is extrapolated from the last estimates ``D_0, D_1, D_2`` at ``sigma_0 = sigma < sigma_1 <
sigma_2``, with ``r_k h = ln(sigma_(k+1) / sigma_k)``:

    1:  z' = g z + (1 - g) D_0 + ...                                  ``transition`` with eta 0 (ODE) or 1 (SDE)
    2:  ... + (1 - g) / 2 E_1,   E_1 = (D_0 - D_1) / r_0              midpoint
    3:  ... + b F_1 + c F_2,     F_1 = E_1 + r_0 F_2,   F_2 = (E_1 - (D_1 - D_2) / r_1) / (r_0 + r_1)
        b = 1 - (1 - g) / (p h),   c = 1 - 2 b / (p h)

``F_1`` and ``F_2`` are the slope and half the curvature of the parabola through the three estimates, over ``h``; ``b``
and ``c`` are the exact integrals of ``tau / h`` and its square. The usual implementations (the authors', k-diffusion,
diffusers) take half of ``c``, which leaves the third order second-order accurate, and diffusers' SDE takes ``c / 2 -
1``, which does not even vanish with ``h``; ``published`` gives diffusers' numbers.

Source: C. Lu et al., arXiv:2211.01095, eq. 8 and 20, divided by ``alpha``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Order = Literal[1, 2, 3]


@dataclass(frozen=True)
class Estimate:
    """Clean estimate ``D`` of shape (batch, ...), and its noise level ``sigma``."""

    sigma: float
    clean: Tensor


def dpm_step(
    z: Tensor,
    history: Sequence[Estimate],
    sigma_next: float,
    noise: Tensor | None = None,
    published: bool = False,
) -> Tensor:
    """Return ``z'`` at ``sigma_next`` from ``z`` at ``history[0].sigma``, both (batch, ...), computed in their dtype.

    At ``sigma_next = 0`` the result is ``D_0``, whatever the order.

    Args:
        history: the newest estimate first; the order is their number, one to three.
        noise: ``n`` of the shape of ``z`` for the SDE, None for the ODE.
        published: use diffusers' coefficients (module docstring).
    """
    sigma, now = history[0].sigma, history[0].clean
    if sigma_next == 0:
        return now
    power = 1 if noise is None else 2
    h = math.log(sigma / sigma_next)
    u = power * h
    left = -math.expm1(-u)  # 1 - g, without cancellation
    moved = z + left * (now - z)
    if len(history) > 1:
        r0 = math.log(history[1].sigma / sigma) / h
        first = (now - history[1].clean) / r0
    if len(history) == 2:
        moved = moved + 0.5 * left * first
    elif len(history) > 2:
        r1 = math.log(history[2].sigma / history[1].sigma) / h
        curve = (first - (history[1].clean - history[2].clean) / r1) / (r0 + r1)
        slope_weight = 1 - left / u
        curve_weight = 1 - 2 * slope_weight / u
        if published:
            curve_weight = curve_weight / 2 - (noise is not None)
        moved = moved + slope_weight * (first + r0 * curve) + curve_weight * curve
    return moved if noise is None else moved + sigma_next * math.sqrt(left) * noise


def order_at(index: int, steps: int, order: int, warm_up: int = 1, cool_down: int = 1) -> int:
    """Return the order of step ``index`` of ``steps``: 1 for the first ``warm_up`` and the last ``cool_down`` steps.

    In between it is at most the number of steps done or to come: as many estimates as there are, and in a walk of fewer
    than 15 steps one less at each of the last (the rule of diffusers, which is this with the default 1 and 1).
    """
    if index < warm_up or steps - index <= cool_down:
        return 1
    return min(order, index + 1, steps - index if steps < 15 else order)


def remember(history: Sequence[Estimate], estimate: Estimate, order: int) -> tuple[Estimate, ...]:
    """Return the history with a new estimate, as long as ``order`` needs it."""
    return (estimate, *history)[:order]
