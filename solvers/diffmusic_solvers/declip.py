"""Declipping without a prior, to compare one with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol, runtime_checkable

from torch import Tensor

from diffmusic.audio.declip import consistent
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem import Problem


@runtime_checkable
class HasClipped(Protocol):
    """Operator that says which samples were cut off above, and which below."""

    def clipped(self, y: Tensor, /) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Declip:
    """``x <- P_C(ISTFT(w STFT(x)))`` from the recording itself (``diffmusic.audio.declip``).

    Works for any operator that says which samples it ``clipped``. Raises InputError for others.
    """

    iterations: Annotated[int, Field(ge=1), Doc("more are slower and closer")] = 200
    sample_rate: int = 16000

    def estimate(self, problem: Problem) -> Tensor:
        """Return the estimate, (batch, channels, time)."""
        operator, y = problem.operator, problem.measured
        if not isinstance(operator, HasClipped):
            raise InputError("declip needs an operator that clips, such as clipping")
        return consistent(y, *operator.clipped(y), self.sample_rate, self.iterations)
