"""The contract of a solver, and the transition between noise levels that solvers share.

In the frame ``z_sigma = z_0 + sigma n``, with the clean estimate ``D`` at level ``sigma``, the next level
``sigma'`` and fresh noise ``n``:

    s = eta sigma' sqrt(1 - sigma'^2 / sigma^2),   k = sqrt(sigma'^2 - s^2)
    z' = D + k (z - D) / sigma + s n

``eta = 0`` is DDIM, ``eta = 1`` is DDPM (Song et al. 2021, arXiv:2010.02502, eq. 12 and 16, divided by
``sqrt(abar)``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from diffmusic.prior import Prior
from diffmusic.problem import Problem


@dataclass(frozen=True)
class State:
    """What one step hands to the next.

    z: latents at the current noise level, (batch, ...).
    memory: anything else a solver carries along (a history, a momentum).
    """

    z: Tensor
    memory: Any = None


@dataclass(frozen=True)
class Step:
    """What a solver is given for the move from ``sigma`` to ``sigma_next``.

    noise: returns standard normal noise of the shape of its argument, drawn from each item's own generator.
    """

    index: int
    sigma: float
    sigma_next: float
    problem: Problem
    prior: Prior
    noise: Callable[[Tensor], Tensor]


@runtime_checkable
class Solver(Protocol):
    """A solver that walks the prior from noise to an estimate: a frozen dataclass of its parameters."""

    def step(self, state: State, step: Step, /) -> State:
        """One move from ``step.sigma`` to ``step.sigma_next``; pure."""
        ...


@runtime_checkable
class DirectSolver(Protocol):
    """A solver without a prior: it works on the audio itself, at the recording's own rate."""

    def estimate(self, problem: Problem, /) -> Tensor:
        """The estimate of the clean audio, (batch, channels, time)."""
        ...


def deviations(sigma: float, sigma_next: float, eta: float) -> tuple[float, float]:
    """``(k, s)``: the kept and the fresh part of the noise at the next level (module docstring)."""
    s = eta * sigma_next * math.sqrt(max(0.0, 1.0 - (sigma_next / sigma) ** 2))
    return math.sqrt(max(0.0, sigma_next**2 - s**2)), s


def transition(z: Tensor, clean: Tensor, step: Step, eta: float) -> Tensor:
    """``clean + k (z - clean) / sigma + s n``: from ``z`` at ``step.sigma`` to ``step.sigma_next``."""
    k, s = deviations(step.sigma, step.sigma_next, eta)
    moved = clean + (k / step.sigma) * (z - clean)
    return moved + s * step.noise(z) if s else moved
