"""The contracts of solvers: what one is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from diffmusic.audio.signal import Patch
from diffmusic.audio.song import Song
from diffmusic.prior.prior import Prior
from diffmusic.problem.problem import Problem

PRIOR_SOLVER = "diffmusic"
"""Name of the solver with a prior that is used where none is named."""
LATENT_SOLVER = "mmps"
"""The same where the damage has a place: what lies outside is taken as measured in the latents."""


@dataclass(frozen=True)
class State:
    """State that one step hands to the next.

    Attributes:
        z: Latents at the current noise level, (batch, ...).
        memory: Anything else a solver carries along (a history, a momentum).
    """

    z: Tensor
    memory: Any = None


@dataclass(frozen=True)
class Step:
    """Move from one noise level to the next, as a solver is given it.

    Attributes:
        index: Number of the move, from 0.
        sigma: Noise level of the state.
        sigma_next: Noise level to move to; 0 at last.
        problem: The inverse problem.
        prior: The prior, which denoises, decodes and encodes, and counts its passes.
        noise: Returns standard normal noise of the shape of its argument, drawn from each item's own generator.
    """

    index: int
    sigma: float
    sigma_next: float
    problem: Problem
    prior: Prior
    noise: Callable[[Tensor], Tensor]


@runtime_checkable
class Solver(Protocol):
    """Solver that walks the prior from noise to an estimate: a frozen dataclass of its parameters."""

    def step(self, state: State, step: Step, /) -> State:
        """Move from ``step.sigma`` to ``step.sigma_next``; pure.

        Args:
            state: The state at ``step.sigma``; not to be changed.
            step: The levels, the problem, the prior and the source of noise.

        Returns:
            The state at ``step.sigma_next``.
        """
        ...


@dataclass(frozen=True)
class Optimisation:
    """Optimisation, as a solver is given it.

    Attributes:
        problem: The inverse problem.
        prior: The prior, which denoises, decodes and encodes, and counts its passes.
        noise: Returns standard normal noise of the shape of all latents, (batch, ...), drawn from each item's own
            generator; every call draws anew.
        steps: Number of iterations.
    """

    problem: Problem
    prior: Prior
    noise: Callable[[], Tensor]
    steps: int


class Posed(Protocol):
    """What a misfit is taken of: a ``Step`` or an ``Optimisation``."""

    @property
    def problem(self) -> Problem: ...

    @property
    def prior(self) -> Prior: ...


@runtime_checkable
class OptimisingSolver(Protocol):
    """Solver that optimises something of its own, such as the noise that a sampler begins from, and walks no noise
    levels: a frozen dataclass of its parameters."""

    def optimise(self, task: Optimisation, /) -> Iterator[Tensor]:
        """Improve an estimate in ``task.steps`` iterations; pure, and every item by itself.

        Args:
            task: The problem, the prior, the source of noise, the number of iterations.

        Yields:
            The clean latents after each iteration, (batch, ...), without a graph; the last are the estimate. After each
            of them the run tells its progress, and stops where they are not finite.
        """
        ...


@runtime_checkable
class Hears(Protocol):
    """A solver with a prior that takes what the song says again of a gap (``Problem.guess``) as evidence."""

    @property
    def hears(self) -> bool:
        """Whether it does; without it the song is not searched."""
        ...


@runtime_checkable
class DirectSolver(Protocol):
    """Solver without a prior: it works on the audio itself, at the recording's own rate."""

    def estimate(self, problem: Problem, /) -> Tensor:
        """Estimate the clean audio; pure.

        Args:
            problem: The inverse problem, without mel transform.

        Returns:
            The estimate, (batch, channels, time).

        Raises:
            InputError: The problem is of a kind that the solver does not take.
        """
        ...


@dataclass(frozen=True)
class Filling:
    """What a solver made of a song by itself.

    Attributes:
        patches: What it fills lost intervals with.
        left: Lost intervals that it leaves, (start, stop) in samples.
        notes: For the run record, in JSON values.
    """

    patches: tuple[Patch, ...]
    left: tuple[tuple[int, int], ...]
    notes: tuple[dict[str, Any], ...]


@runtime_checkable
class SongSolver(Protocol):
    """Solver without a prior that looks for what is lost anywhere in the recording, and reads it where it needs to."""

    def fill(self, song: Song, /) -> Filling:
        """Fill lost intervals; pure.

        Args:
            song: The recording, silent where it is lost.

        Returns:
            What fills them, what is left, and notes.

        Raises:
            InputError: There is nothing to fill an interval with.
        """
        ...


@runtime_checkable
class PartialSolver(SongSolver, Protocol):
    """A solver that fills some of the damage without a prior and leaves the rest to a solver with one."""

    def rest(self) -> WithPrior:
        """The solver of what is left."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A direct solver that has something to say of its estimate in the run record."""

    def explained(self, problem: Problem, /) -> tuple[Tensor, list[dict[str, Any]]]:
        """The estimate, and notes of it in JSON values."""
        ...


WithPrior = Solver | OptimisingSolver
"""Whatever restores an excerpt by a prior."""
AnySolver = WithPrior | DirectSolver | SongSolver
"""Whatever restores a recording."""
