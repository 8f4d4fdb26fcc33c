"""The contract of an editor: a solver that changes music which nothing has damaged.

An editor works on latents ``z_0`` of a recording in the frame ``z_sigma = z_0 + sigma n``. It is a frozen dataclass of
its parameters, offered as a solver with the tag "editor" (hook ``diffmusic_solvers``), and has one pure method,
``edit``. All that it needs is in the ``Edit`` that it is given; ``diffmusic.edit`` does everything around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.guidance import Denoiser, Text, Tick
from diffmusic.prior import Backbone
from diffmusic.solver import deviations


@dataclass(frozen=True)
class Region:
    """A stretch that may change: ``mask`` over latent frames, 1 inside, with soft edges, (frames,); and the noise level
    from which it does."""

    mask: Tensor
    sigma: float


@dataclass(frozen=True)
class Edit:
    """What an editor is given.

    z0: latents of the source, (items, channels, frames, ...). Items are the channels of one recording, where the
        backbone is mono.
    sigmas: decreasing noise levels: the strength of the edit first, 0 last.
    source, targets: what the recording is, and what it is to become, once for each target.
    denoise: ``E[z_0 | z]`` under such a text, many latents at once.
    noise: the standard normal field of a number, of the shape of ``z0``: the same whenever the same number is asked
        for, independent for different ones. Items share it.
    regions: where the edit may change anything; none is everywhere. hold: how firmly the rest is held at each step,
        ``delta`` of eq. 6 of arXiv:2402.10009; 1 puts it back.
    others: latents of further recordings that take part, (items, channels, frames, ...).
    frame_rate: latent frames a second.
    encode: latents of other audio of the same length at the same level, (items, channels, time), as ``audio`` is.
    audio: the source as the backbone knows it, (items, channels, time) at ``sample_rate``. offset: where in the
        recording it begins, seconds.
    """

    z0: Tensor
    sigmas: tuple[float, ...]
    source: Text
    targets: tuple[Text, ...]
    denoise: Denoiser
    noise: Callable[[int], Tensor]
    regions: tuple[Region, ...] = ()
    hold: float = 1.0
    others: tuple[Tensor, ...] = ()
    frame_rate: float = 25.0
    encode: Callable[[Tensor], Tensor] | None = None
    audio: Tensor | None = None
    sample_rate: int = 16000
    offset: float = 0.0
    tick: Tick = lambda done: None

    def levels(self, first: float = 0.0, last: float = 1.0) -> Iterator[tuple[int, float, float]]:
        """``(index, sigma, sigma_next)`` of every move down; progress is told from ``first`` to ``last``."""
        count = len(self.sigmas) - 1
        for index, (sigma, sigma_next) in enumerate(pairwise(self.sigmas)):
            yield index, sigma, sigma_next
            self.tick(first + (last - first) * (index + 1) / count)

    def each_target(self, x: Tensor) -> Tensor:
        """What all targets share, (items, ...), once for each: (targets * items, ...)."""
        return x.repeat(len(self.targets), *[1] * (x.ndim - 1))

    @property
    def texts(self) -> list[Text]:
        """The text of every row of (targets * items, ...)."""
        return [text for text in self.targets for _ in range(len(self.z0))]

    def keep(self, z: Tensor, original: Tensor, sigma: float) -> Tensor:
        """``z``, (targets * items, ...), at ``sigma`` with what may not change held on ``original``, the source at
        that level, (items, ...):

            z <- M z + (1 - M) (delta original + (1 - delta) z)           arXiv:2402.10009, eq. 6

        A region whose own strength is below ``sigma`` is not free yet: there ``z`` is ``original``.
        """
        if not self.regions:
            return z
        shape = (-1, *[1] * (z.ndim - 3))
        free = sum((r.mask for r in self.regions if r.sigma >= sigma), start=torch.zeros(z.shape[2]))
        waiting = sum((r.mask for r in self.regions if r.sigma < sigma), start=torch.zeros(z.shape[2]))
        weight = self.hold * (1 - free - waiting).clamp(0, 1) + waiting
        return torch.lerp(z, self.each_target(original), weight.to(z).reshape(shape))


@runtime_checkable
class Editor(Protocol):
    """A solver that edits: a frozen dataclass of its parameters."""

    def edit(self, task: Edit, /) -> Tensor:
        """The edited latents, target after target, (targets * items, channels, frames, ...); pure."""
        ...


def mean(z: Tensor, clean: Tensor, sigma: float, sigma_next: float, eta: float) -> Tensor:
    """``m(z) = D + k (z - D) / sigma``: where the transition of ``diffmusic.solver`` goes before it adds noise."""
    k, _ = deviations(sigma, sigma_next, eta)
    return clean + (k / sigma) * (z - clean)


def levels(backbone: Backbone, strength: float, steps: int) -> tuple[float, ...]:
    """``steps + 1`` decreasing levels from ``strength``, evenly in log sigma down to the lowest that the backbone was
    trained at, then 0. Raises InputError for a strength outside of what it was trained at."""
    known = backbone.sigmas(2).tolist()
    highest, lowest = known[0], known[-2]
    if not lowest < strength <= highest * (1 + 1e-9):
        raise InputError(
            f"--strength {strength:g}: it is a noise level, and this prior knows those from {lowest:.3g} to "
            f"{highest:.3g}; more changes more"
        )
    if steps < 1:
        raise InputError(f"--steps {steps}: at least one")
    return (*np.geomspace(strength, lowest, steps).tolist(), 0.0) if steps > 1 else (strength, 0.0)


def strength(backbone: Any, start: int, steps: int = 200) -> float:
    """The noise level of the paper's ``T_start``: of ``steps`` sampling steps, the last ``start`` are run.

    A network with a grid of training timesteps (AudioLDM2, MusicLDM) is sampled at every ``1000 // steps``-th of them
    plus one, as diffusers' DDIMScheduler has it: T_start 100 of 200 is timestep 496. Stable Audio has levels even in
    log sigma. The same index is another level on each, which is why strength is a level here.
    """
    if not 1 <= start <= steps:
        raise InputError(f"--t-start {start}: it is 1 to {steps} of {steps} steps")
    grid = getattr(getattr(backbone, "noise", None), "grid", None)
    if grid is None:
        return float(backbone.sigmas(steps)[steps - start])
    if steps > len(grid):
        raise InputError(f"--t-start {start}/{steps}: this prior was trained at {len(grid)} levels, no more")
    return float(grid[min(len(grid) - 1, (start - 1) * (len(grid) // steps) + 1)])


def frame_rate(backbone: Backbone) -> float:
    """Latent frames a second: dimension 2 of latents with their batch is time."""
    return backbone.latent_shape(1000 * backbone.sample_rate)[1] / 1000
