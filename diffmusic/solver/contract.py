"""The contract of a solver: what one step is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from diffmusic.prior.prior import Prior
from diffmusic.problem.problem import Problem

PRIOR_SOLVER = "diffmusic"
"""Name of the solver with a prior that is used where none is named."""


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


@runtime_checkable
class PartialSolver(Protocol):
    """A solver that fills some of the damage without a prior and leaves the rest to a solver with one."""

    def begin(self, problem: Problem, /) -> tuple[Tensor, list[tuple[int, int]], list[dict[str, Any]]]:
        """The measurement with some of its damage filled, (batch, channels, time), the intervals that are left, in
        samples, and notes for the run record."""
        ...

    def rest(self) -> Solver:
        """The solver of what is left."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A direct solver that has something to say of its estimate in the run record."""

    def explained(self, problem: Problem, /) -> tuple[Tensor, list[dict[str, Any]]]:
        """The estimate, and notes of it in JSON values."""
        ...


AnySolver = Solver | DirectSolver | PartialSolver
"""Whatever restores a recording."""
