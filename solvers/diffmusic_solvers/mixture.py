"""Mixture as the estimate of every source: the baseline of separation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.problem import HasAdjoint, Problem, sources


@dataclass(frozen=True)
class Mixture:
    """Scaled mixture as the estimate of each source, ``x = A^T y |y|^2 / <y, A A^T y>``; nothing is differentiated.

    Works for any operator that mixes sources and has an adjoint. Raises InputError for others.
    """

    def estimate(self, problem: Problem) -> Tensor:
        """Return the estimate, (batch, sources, time)."""
        operator, y = problem.operator, problem.measured
        if sources(operator) < 2 or not isinstance(operator, HasAdjoint):
            raise InputError("mixture needs an operator that mixes two or more unknown sources, such as mixing")
        back = operator.adjoint(y)

        def dot(a: Tensor, b: Tensor) -> Tensor:
            return (a * b).flatten(1).sum(1).reshape(-1, 1, 1)

        return back * dot(y, y) / dot(y, operator.forward(back)).clamp(min=1e-30)
