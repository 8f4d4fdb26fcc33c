"""Latent code of a recording under a stochastic sampler, and sampling again with it.

In the frame ``z_sigma = z_0 + sigma n`` a sampler moves by ``z_{i+1} = m(z_i) + s_i n_i``, with ``m`` and ``s`` of
``diffmusic.solver``. Any path ``z_0 + sigma_i n_i`` that ends in the recording is one that the sampler would have
taken, had its noise been

    n_i = (z_{i+1} - m(z_i)) / s_i

Here the code is kept as the path and its means, and the residual ``r_i = z_{i+1} - m(z_i)`` replaces ``s_i n_i``:
nothing is divided by ``s``, which is 0 at the last step, so that the last step is exact too (the published code leaves
its noise out, and with it the last of the detail).

Sampling again under another text adds the text's change of the mean:

    z~_{i+1} = m~(z~_i) + r_i = z_{i+1} + (m~(z~_i) - m(z_i))

Written the second way, the same text gives back the recording bit for bit.

Source: I. Huberman-Spiegelglas et al., "An edit friendly DDPM noise space", arXiv:2304.06140, eq. 5.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.solver.steps import deviations, mean


@dataclass(frozen=True)
class CodeStep:
    """Step ``i`` of a latent code: ``z_i``, ``z_{i+1}``, ``D(z_i)`` and ``m(z_i)``, (items, ...) each."""

    point: Tensor
    following: Tensor
    clean: Tensor
    mean: Tensor


class Code(Protocol):
    """Latent code, whose steps are asked for in order."""

    @property
    def begun(self) -> float: ...

    def step(self, index: int, /) -> CodeStep: ...


@dataclass(frozen=True)
class LatentCode:
    """Latent code of ``z_0``.

    Attributes:
        sigmas: the noise levels, ``levels + 1`` of them, the last 0.
        path: ``z_i`` at each, (levels + 1, items, ...), the last ``z_0`` itself.
        clean: ``D(z_i)`` under the source, (levels, items, ...).
        means: ``m(z_i)``, of the same shape.
    """

    sigmas: tuple[float, ...]
    path: Tensor
    clean: Tensor
    means: Tensor

    begun: ClassVar[float] = 0.5
    """Share of an edit's work that the code is."""

    def step(self, index: int) -> CodeStep:
        """Return what the code holds of a step."""
        return CodeStep(self.path[index], self.path[index + 1], self.clean[index], self.means[index])

    @property
    def residuals(self) -> Tensor:
        """Residuals ``r_i = z_{i+1} - m(z_i)``, (levels, items, ...)."""
        return self.path[1:] - self.means

    def noise(self, eta: float = 1.0) -> Tensor:
        """Return the noise maps ``n_i = r_i / s_i``, (levels - 1, items, ...); the last step has none."""
        scales = [deviations(a, b, eta)[1] for a, b in zip(self.sigmas[:-2], self.sigmas[1:-1], strict=True)]
        return torch.stack([r / s for r, s in zip(self.residuals, scales, strict=False)])

    def changed(self, change: Callable[[Tensor], Tensor]) -> LatentCode:
        """Apply a linear map, (..., channels, frames, ...) to the same shape, to every part of the code."""
        return dataclasses.replace(self, path=change(self.path), clean=change(self.clean), means=change(self.means))


Points = Callable[[int], Tensor]
"""Points ``z_i`` of a recording's path by their index, (items, ...)."""


def independent_points(task: Edit) -> Points:
    """Return the points of ``independent_path``, each made when it is asked for: no level need be kept."""
    return lambda index: task.z0 + task.sigmas[index] * task.noise(index) if task.sigmas[index] else task.z0


def independent_path(task: Edit) -> Tensor:
    """Draw the edit-friendly path ``z_i = z_0 + sigma_i n_i`` with independent ``n_i``, (levels + 1, items, ...).

    Source: arXiv:2304.06140, eq. 6.
    """
    return torch.stack([*map(independent_points(task), range(len(task.sigmas)))])


def posterior_path(task: Edit, eta: float = 1.0) -> Tensor:
    """Draw the sampler's own steps given ``z_0``, (levels + 1, items, ...):

        z_{i+1} = z_0 + k (z_i - z_0) / sigma_i + s n_i

    Source: C. H. Wu and F. De la Torre, CycleDiffusion, arXiv:2210.05559, Algorithm 1.
    """
    z = task.z0 + task.sigmas[0] * task.noise(0)
    path = [z]
    for index, (sigma, sigma_next) in enumerate(zip(task.sigmas, task.sigmas[1:], strict=False)):
        _, s = deviations(sigma, sigma_next, eta)
        z = mean(z, task.z0, sigma, sigma_next, eta) + s * task.noise(index + 1) if sigma_next else task.z0
        path.append(z)
    return torch.stack(path)


def extrapolated(clean: Tensor, before: Tensor | None, levels: Sequence[float], order: int) -> Tensor:
    """Extrapolate the clean estimate as the second-order multistep SDE-DPM-Solver++ does:

        D + (D - D_before) / (2 r),   r = ln(sigma_before / sigma) / ln(sigma / sigma')

    At first order, at the first step and at the last it is ``D`` itself. With it, ``eta = 1`` and levels even in log
    sigma, the sampler is that of Stable Audio; at first order the SDE solver is DDPM.

    Args:
        levels: ``sigma_before, sigma, sigma'``.

    Source: C. Lu et al., arXiv:2211.01095.
    """
    if order == 1 or before is None or levels[-1] == 0:
        return clean
    ratio = math.log(levels[0] / levels[1]) / math.log(levels[1] / levels[2])
    return clean + (clean - before) / (2 * ratio)


def cleaned(task: Edit, points: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Return ``D`` at points, (points, items, ...), each at its level, under the source's text."""
    levels = [sigma for sigma in sigmas for _ in range(points.shape[1])]
    clean = task.denoise(points.flatten(0, 1), levels, task.source)
    return clean.reshape(*points.shape[:2], *clean.shape[1:])


def invert(task: Edit, path: Tensor, eta: float = 1.0, order: int = 1, done: float = 0.5) -> LatentCode:
    """Compute the code of ``task.z0`` along a path, under the source's text.

    The points of the path are known beforehand, so that many go through the network together. Only the levels of the
    edit are inverted.

    Args:
        done: share of the work that the inversion is, for progress.
    """
    items, levels = len(task.z0), len(task.sigmas) - 1
    size = max(1, (task.denoise.batch or 1) // (items * len(task.source.passes)))
    parts = []
    for first in range(0, levels, size):
        points = path[first : min(levels, first + size)]
        parts.append(cleaned(task, points, task.sigmas[first : first + len(points)]))
        task.tick(done * (first + len(points)) / levels)
    clean = torch.cat(parts)
    means = []
    for i in range(levels):
        around = task.sigmas[max(0, i - 1) : i + 2]
        target = extrapolated(clean[i], clean[i - 1] if i else None, around, order)
        means.append(mean(path[i], target, task.sigmas[i], task.sigmas[i + 1], eta))
    return LatentCode(task.sigmas, path, clean, torch.stack(means))


def replay(
    task: Edit,
    code: Code,
    eta: float = 1.0,
    order: int = 1,
    drift: Callable[[int, Tensor], Tensor | float] = lambda index, clean: 0.0,
    begun: float | None = None,
    nudge: Callable[[int, Tensor], Tensor] = lambda index, z: z,
) -> Tensor:
    """Sample again with the code under the targets, (targets * items, ...); the equation is in the module's docstring.

    Args:
        drift: maps step ``i`` and ``D`` under the target to what is added to ``z_{i+1}``.
        begun: share of the work that is done already; by default the code's own.
        nudge: maps step ``i`` and ``z~_i`` to the latents that it is taken from.
    """
    z, before = task.each_target(code.step(0).point), None
    for index, sigma, sigma_next in task.levels(code.begun if begun is None else begun):
        source = code.step(index)
        z = nudge(index, z)
        clean = task.denoise(z, sigma, task.texts)
        around = task.sigmas[max(0, index - 1) : index + 2]
        moved = mean(z, extrapolated(clean, before, around, order), sigma, sigma_next, eta)
        z = task.each_target(source.following) + (moved - task.each_target(source.mean)) + drift(index, clean)
        z = task.keep(z, source.following, sigma_next)
        before = clean
    return z


def shifted(x: Tensor, frames: int, dim: int) -> Tensor:
    """Shift ``x`` by a number of frames along ``dim``, and fill the border with a neighbouring stretch of the same map.

    arXiv:2304.06140, appendix A, fills it from elsewhere in the map too.
    """
    count = x.shape[dim]
    place = torch.arange(count)
    origin = torch.where((place - frames >= 0) & (place - frames < count), place - frames, place + frames)
    return x.index_select(dim, origin.clamp(0, count - 1).to(x.device))
