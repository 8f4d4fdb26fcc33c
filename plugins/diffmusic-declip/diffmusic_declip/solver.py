"""Declipping without a prior, to compare one with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem import Problem
from diffmusic_declip.clipping import Clipping
from diffmusic_declip.consistent import consistent


@dataclass(frozen=True)
class Declip:
    """``x <- P_C(ISTFT(w STFT(x)))`` from the recording itself (``diffmusic_declip.consistent``).

    Works for any operator that says which samples it ``clipped``. Raises InputError for others.
    """

    iterations: Annotated[int, Field(ge=1), Doc("more are slower and closer")] = 200
    sample_rate: int = 16000

    def probe(self) -> Clipping:
        """An operator that it takes, for the contract tests."""
        return Clipping.example()

    def estimate(self, problem: Problem) -> Tensor:
        """(batch, channels, time)."""
        operator, y = problem.operator, problem.measured
        if not hasattr(operator, "clipped"):
            raise InputError("declip needs an operator that clips, such as clipping")
        return consistent(y, *operator.clipped(y), self.sample_rate, self.iterations)
