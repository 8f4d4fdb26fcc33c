"""The contract of an editor: a solver that changes music which nothing has damaged.

An editor works on latents ``z_0`` of a recording in the frame ``z_sigma = z_0 + sigma n``. It is a frozen dataclass of
its parameters, offered as a solver with the tag "editor" (hook ``diffmusic_solvers``), and has one pure method,
``edit``. All that it needs is in the ``Edit`` that it is given; ``diffmusic.tasks.edit`` does everything around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.guidance import Text
from diffmusic.prior.progress import ProgressCallback


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
    tick: ProgressCallback = lambda done: None

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
