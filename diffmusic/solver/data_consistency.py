"""Steps down the misfit, shared by solvers."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from diffmusic.problem.problem import Space
from diffmusic.solver.contract import Posed, Step


def misfit_gradient(
    clean: Tensor, variable: Tensor, step: Posed, space: Space, squared: bool = True
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
    if not squared:  # by hand, because the derivative of a root is not finite at 0
        root = _of_latents(misfit.detach(), variable, step).sqrt()
        gradient = gradient / (2 * root).clamp(min=torch.finfo(misfit.dtype).tiny)
    return _excess(misfit.detach(), variable, step, space), gradient


def _of_latents(values: Tensor, latents: Tensor, step: Posed) -> Tensor:
    """The values of items, one a latent, (latents, 1, ...): the channels of a mixture are measured one by one, and have
    one latent; the sources of an item share its misfit."""
    items = values.reshape(len(latents) // step.prior.sources, -1).sum(1)
    return items.repeat_interleave(step.prior.sources).reshape(-1, *[1] * (latents.ndim - 1))


def _excess(misfit: Tensor, latents: Tensor, step: Posed, space: Space) -> Tensor:
    floor = step.problem.floor(space)
    if isinstance(floor, Tensor):
        return _of_latents(misfit - floor, latents, step)
    return _of_latents(misfit, latents, step) - floor


def fitted_audio(x: Tensor, step: Posed, iterations: int) -> Tensor:
    """Fit audio to the measurement, (batch, channels, time), through the operator alone:

        x <- x - 2 (L(x) - floor) / ||grad L||^2 grad L,   L(x) = ||A x - y||^2

    For a quadratic ``L`` whose least value is ``floor`` the step, twice Polyak's, is the one along the gradient that
    most shortens the way to the solution; for a mask or a sum one is enough.
    """
    for _ in range(iterations):
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            misfit = step.problem.misfit(leaf, "waveform")
            (gradient,) = torch.autograd.grad(misfit.sum(), leaf)
        excess = misfit.detach() - step.problem.floor("waveform")
        energy = gradient.square().flatten(1).sum(1)
        length = torch.where((excess > 0) & (energy > 0), 2 * excess / energy, 0.0)
        x = x.detach() - length.reshape(-1, *[1] * (x.ndim - 1)) * gradient
    return x.detach()


def norms(x: Tensor) -> Tensor:
    """The norm of each item, (batch, 1, ...), to divide it by."""
    length: Tensor = x.flatten(1).norm(dim=1)
    return length.reshape(-1, *[1] * (x.ndim - 1))


def correction(
    clean: Tensor,
    step: Posed,
    rate: float | None,
    space: Space,
    precondition: Callable[[Tensor], Tensor] | None = None,
    through: Callable[[Tensor], Tensor] = lambda clean: clean,
) -> Tensor:
    """Return a step down the misfit ``L`` at the clean latent ``D``, of its shape, to be subtracted: ``gamma d`` with

        g = grad_D L,   d = P g,   gamma = argmin_(0 <= gamma <= c) L(D - gamma d),   c = 2 (L - floor) / <g, d>

    and the preconditioner ``P``, the identity by default. Beyond ``c`` a quadratic misfit that is nowhere below the
    floor cannot be least. The minimum is that of the parabola through ``L(D)``, its slope, and ``L(D - c d)``; that
    costs one pass of the decoder. Nothing here has a scale: not of the latents, the misfit, the prior or ``P``.

    With a ``rate`` the step has a length instead, whatever ``L`` does along it:

        gamma = rate sqrt(dim) s / ||d||,   s = sigma / sqrt(1 + sigma^2)

    where ``s`` is the spread that a clean latent of unit variance still has at this noise level.

    There is no step for an item that fits as well as the noise of the measurement allows, nor for one whose misfit is
    flat. With ``through`` the step is one of a variable whose clean latent is ``through(clean)``.
    """
    leaf = clean.detach().requires_grad_()
    excess, gradient = misfit_gradient(through(leaf), leaf, step, space)
    direction = precondition(gradient) if precondition else gradient
    norm = norms(direction)
    if rate is None:
        slope = _dot(gradient, direction)
        return _least(lambda far: through(clean - far * direction), excess, slope, step, space) * direction
    assert isinstance(step, Step), "a step of a length belongs to a noise level"
    length = rate * math.sqrt(leaf[0].numel()) * step.sigma / math.sqrt(1 + step.sigma**2)
    # A misfit is flat in silence below the mel's floor, for example.
    return torch.where((excess > 0) & (norm > 0), length / norm, 0.0) * direction


def _least(along: Callable[[Tensor], Tensor], excess: Tensor, slope: Tensor, step: Posed, space: Space) -> Tensor:
    """``gamma`` of ``correction``, one value a latent; with several sources, that of a step of them all.

    along: the clean latent as far along the direction as it is asked for.
    """
    shared = _of_latents(slope.flatten(), slope, step)
    downhill = (excess > 0) & (shared > 0)
    bound = torch.where(downhill, 2 * excess / shared.clamp(min=torch.finfo(shared.dtype).tiny), 0.0)
    with torch.no_grad():
        misfit = step.problem.misfit(step.prior.decode(along(bound)), space)
        change = _excess(misfit, slope, step, space) - excess
    drop = bound * shared
    curvature = change + drop
    part = torch.where(curvature > 0, drop / (2 * curvature).clamp(min=torch.finfo(drop.dtype).tiny), 1.0)
    return bound * part.clamp(max=1.0)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of each latent, (latents, 1, ...)."""
    return (a * b).flatten(1).sum(1).reshape(-1, *[1] * (a.ndim - 1))
