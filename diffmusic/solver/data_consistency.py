"""Steps down the misfit, shared by solvers."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from diffmusic.problem.problem import Space
from diffmusic.solver.contract import Step


def misfit_gradient(
    clean: Tensor, variable: Tensor, step: Step, space: Space, squared: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the misfit's excess over what noise explains, one value a latent, (latents, 1, ...), and a gradient.

        L = ||T A Dec(D) - T y||^2

    The gradient is of ``L``, or of its root unless ``squared``, with respect to ``variable``. An item that fits exactly
    has no gradient.

    Args:
        clean: ``D``, which depends on ``variable``, or is it.
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
    length: Tensor = x.flatten(1).norm(dim=1)
    return length.reshape(-1, *[1] * (x.ndim - 1))


def correction(
    clean: Tensor, step: Step, rate: float, space: Space, precondition: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Return ``gamma g``, a step of a given length down the misfit ``L`` at the clean latent ``D``, of its shape:

        g = P grad_D L,   gamma = rate sqrt(dim) s / ||g||,   s = sigma / sqrt(1 + sigma^2)

    with the preconditioner ``P``, the identity by default.

    ``s`` is the spread that a clean latent of unit variance still has at this noise level. There is no step for an item
    that fits as well as the noise of the measurement allows, nor for one whose misfit is flat.
    """
    leaf = clean.detach().requires_grad_()
    excess, gradient = misfit_gradient(leaf, leaf, step, space)
    gradient = precondition(gradient) if precondition else gradient
    norm = norms(gradient)
    length = rate * math.sqrt(leaf[0].numel()) * step.sigma / math.sqrt(1 + step.sigma**2)
    # A misfit is flat in silence below the mel's floor, for example.
    return torch.where((excess > 0) & (norm > 0), length / norm, 0.0) * gradient
