"""The contract of an editor: a solver that changes music which nothing has damaged.

An editor works on latents ``z_0`` of a recording in the frame ``z_sigma = z_0 + sigma n``. It is a frozen dataclass of
its parameters, offered as a solver with the role "editor" (hook ``diffmusic_solvers``), and has one pure method,
``edit``. All that it needs is in the ``Edit`` that it is given; ``diffmusic.tasks.edit`` does everything around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.guidance import Text
from diffmusic.prior.progress import ProgressCallback


@dataclass(frozen=True)
class Region:
    """Interval that may change.

    Attributes:
        mask: Weight of each latent frame, 1 inside, with soft edges, (frames,).
        sigma: Noise level from which the interval changes.
    """

    mask: Tensor
    sigma: float


@dataclass(frozen=True)
class Edit:
    """Task of an editor: latents of a source, texts, noise levels, and all that it needs to work.

    Attributes:
        z0: Latents of the source, (items, channels, frames, ...). Items are the channels of one recording, where the
            backbone is mono.
        sigmas: Decreasing noise levels: the strength of the edit first, 0 last.
        source: Text of the recording.
        targets: Texts of the music to be made, each of which gives rows of its own.
        denoise: ``E[z_0 | z]`` under such a text, many latents at once.
        noise: The standard normal field of a number, of the shape of ``z0``: the same whenever the same number is
            asked for, independent for different ones. Items share it.
        regions: Intervals in which the edit may change anything; none is everywhere.
        hold: Weight ``delta`` with which the rest is held at each step (arXiv:2402.10009, eq. 6); 1 puts it back.
        others: Latents of further recordings that take part, (items, channels, frames, ...).
        frame_rate: Latent frames a second.
        encode: Latents of other audio of the same length at the same level, (items, channels, time), as ``audio`` is.
        audio: The source as the backbone knows it, (items, channels, time).
        sample_rate: Of ``audio``, Hz.
        offset: Beginning of ``audio`` in the recording, seconds.
        tick: Called with the share of the work that is done, 0 to 1.
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
        """Walk down the noise levels, and report progress after each move.

        Args:
            first: Share of the work that is done before the walk.
            last: Share of the work that is done after it.

        Yields:
            ``(index, sigma, sigma_next)`` of every move.
        """
        count = len(self.sigmas) - 1
        for index, (sigma, sigma_next) in enumerate(pairwise(self.sigmas)):
            yield index, sigma, sigma_next
            self.tick(first + (last - first) * (index + 1) / count)

    def each_target(self, x: Tensor) -> Tensor:
        """Repeat a tensor for each target.

        Args:
            x: What all targets share, (items, ...).

        Returns:
            (targets * items, ...).
        """
        return x.repeat(len(self.targets), *[1] * (x.ndim - 1))

    @property
    def texts(self) -> list[Text]:
        """Text of every row of (targets * items, ...)."""
        return [text for text in self.targets for _ in range(len(self.z0))]

    def keep(self, z: Tensor, original: Tensor, sigma: float) -> Tensor:
        """Hold what may not change on the source:

            z <- M z + (1 - M) (delta original + (1 - delta) z)

        A region whose own strength is below ``sigma`` is not free yet: there ``z`` is ``original``.
        Source: arXiv:2402.10009, eq. 6.

        Args:
            z: Latents of the edits at ``sigma``, (targets * items, ...).
            original: The source at that level, (items, ...).
            sigma: Noise level.

        Returns:
            The held latents, of the shape of ``z``.
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
    """Solver that edits: a frozen dataclass of its parameters."""

    def edit(self, task: Edit, /) -> Tensor:
        """Edit latents; pure.

        Args:
            task: The source, the texts, the levels, the denoiser and the noise.

        Returns:
            The edited latents, target after target, (targets * items, channels, frames, ...).
        """
        ...


@runtime_checkable
class AudioEditor(Protocol):
    """Editor with a model of its own, which makes audio of audio and a text; it needs no prior."""

    def edit_audio(self, audio: np.ndarray, sample_rate: int, target: str, seed: int, /) -> tuple[np.ndarray, int]:
        """Edit audio; a function of its arguments.

        Args:
            audio: (channels, time), float64, full scale 1.
            sample_rate: Hz.
            target: Text of the music to be made.
            seed: Of all randomness.

        Returns:
            The edited audio, (channels, time) with any number of channels, from the same moment on, and its rate in Hz.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Describe the model for a run record.

        Returns:
            Name, hash and device, in plain values.
        """
        ...


AnyEditor: TypeAlias = Editor | AudioEditor


@runtime_checkable
class Graded(Protocol):
    """Editor whose strength is a parameter of its own, with a sign, such as how far a direction is followed."""

    def graded(self, count: int, /) -> tuple[tuple[str, Editor], ...]:
        """Return the editor at ``count`` strengths from the negative of its own to its own, each with its name.

        Raises InputError where it cannot be swept.
        """
        ...
