"""The contract of a solver, and what solvers share: the transition between noise levels, and steps down the misfit.

In the frame ``z_sigma = z_0 + sigma n``, with the clean estimate ``D`` at level ``sigma``, the next level
``sigma'`` and fresh noise ``n``:

    s = eta sigma' sqrt(1 - sigma'^2 / sigma^2),   k = sqrt(sigma'^2 - s^2)
    z' = D + k (z - D) / sigma + s n

``eta = 0`` is DDIM, ``eta = 1`` is DDPM (Song et al. 2021, arXiv:2010.02502, eq. 12 and 16, divided by
``sqrt(abar)``). Both move as if ``z_0`` were ``D``. What it differs from ``D`` by has a variance ``v``, and leaving
that out makes the samples of a coarse walk too narrow: 26 % of the variance is gone after 25 levels. The optimal
fresh noise (Bao et al. 2022, "Analytic-DPM", arXiv:2201.06503) has the variance

    s^2 + eta^2 (1 - k / sigma)^2 v

and ``v``, the mean over the latent, can be read off one item: ``sigma^2 = E|z - D|^2 + v``, because the error of a
posterior mean is orthogonal to whatever is a function of ``z``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from diffmusic.prior import Prior
from diffmusic.problem import Problem, Space


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


def uncertainty(z: Tensor, denoised: Tensor, sigma: float) -> Tensor:
    """``v = max(0, sigma^2 - |z - D|^2 / dim)``, the mean variance of ``z_0`` given ``z``, one value an item.

    denoised: the network's own ``D``, before any guidance.
    """
    return (sigma**2 - (z - denoised).square().flatten(1).mean(1)).clamp(min=0)


def transition(z: Tensor, clean: Tensor, step: Step, eta: float, variance: Tensor | float = 0.0) -> Tensor:
    """From ``z`` at ``step.sigma`` to ``step.sigma_next`` by way of ``clean`` (module docstring).

    variance: ``v``, of shape (batch,); 0 leaves it out. At the last level nothing is added to ``clean``.
    """
    k, s = deviations(step.sigma, step.sigma_next, eta)
    moved = clean + (k / step.sigma) * (z - clean)
    if s == 0:
        return moved
    fresh = s**2 + (eta * (1 - k / step.sigma)) ** 2 * torch.as_tensor(variance, dtype=z.dtype, device=z.device)
    return moved + fresh.sqrt().reshape(-1, *[1] * (z.ndim - 1)) * step.noise(z)


def time_travel(move: Callable[[Tensor, Step], Tensor], z: Tensor, step: Step, repeats: int) -> Tensor:
    """``z'`` after a move between two levels that is made ``repeats`` times: in between ``z`` goes back up,

        z <- z' + sqrt(sigma^2 - sigma'^2) n

    (A. Lugmayr et al., "RePaint", CVPR 2022, arXiv:2201.09865). move: from ``z`` at ``step.sigma`` to ``z'`` at
    ``step.sigma_next``. From the last level, 0, nothing goes back up.
    """
    z = move(z, step)
    if step.sigma_next > 0:
        climb = math.sqrt(step.sigma**2 - step.sigma_next**2)
        for _ in range(repeats - 1):
            z = move(z + climb * step.noise(z), step)
    return z


def misfit_gradient(
    clean: Tensor, variable: Tensor, step: Step, space: Space, squared: bool = True
) -> tuple[Tensor, Tensor]:
    """By how much ``L = ||T A Dec(D) - T y||^2`` exceeds what the noise of the measurement explains, one value a
    latent, (latents, 1, ...); and the gradient of ``L``, or of its root, with respect to ``variable``.

    clean: ``D``, which depends on ``variable``, or is it. An item that fits exactly has no gradient.
    """
    misfit = step.problem.misfit(step.prior.decode(clean), space)
    (gradient,) = torch.autograd.grad(misfit.sum(), variable)
    items = len(variable) // step.prior.sources

    def whole(values: Tensor) -> Tensor:  # the channels of a mixture are measured one by one, and have one latent
        return values.reshape(items, -1).sum(1)

    def spread(values: Tensor) -> Tensor:  # the sources of an item share its misfit
        return values.repeat_interleave(step.prior.sources).reshape(-1, *[1] * (variable.ndim - 1))

    misfit = whole(misfit.detach())
    floor = step.problem.floor(space)
    floor = whole(floor) if isinstance(floor, Tensor) else floor
    if not squared:  # by hand, because the derivative of a root is not finite at 0
        gradient = gradient / (2 * spread(misfit).sqrt()).clamp(min=torch.finfo(misfit.dtype).tiny)
    return spread(misfit - floor), gradient


def norms(x: Tensor) -> Tensor:
    """The norm of each item, (batch, 1, ...), to divide it by."""
    return x.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.ndim - 1))


def correction(
    clean: Tensor, step: Step, rate: float, space: Space, precondition: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """``gamma g``, the step of a given length down the misfit ``L`` at the clean latent ``D``, of its shape:

        g = P grad_D L,   gamma = rate sqrt(dim) s / ||g||,   s = sigma / sqrt(1 + sigma^2)

    with the preconditioner ``P``, the identity unless one is given.

    ``s`` is the spread that a clean latent of unit variance still has at this level. There is no step for an item that
    fits as well as the noise of the measurement lets it, nor for one whose misfit is flat.
    """
    leaf = clean.detach().requires_grad_()
    excess, gradient = misfit_gradient(leaf, leaf, step, space)
    gradient = precondition(gradient) if precondition else gradient
    norm = norms(gradient)
    length = rate * math.sqrt(leaf[0].numel()) * step.sigma / math.sqrt(1 + step.sigma**2)
    # A misfit is flat in silence below the mel's floor, for one.
    return torch.where((excess > 0) & (norm > 0), length / norm, 0.0) * gradient
