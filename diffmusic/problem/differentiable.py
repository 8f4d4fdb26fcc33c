"""Whether an operator can be differentiated."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from diffmusic.problem.operator import Operator


@runtime_checkable
class HasDifferentiable(Protocol):
    @property
    def differentiable(self) -> bool: ...


def is_differentiable(operator: Operator) -> bool:
    """Whether the operator has a gradient: all have that do not say otherwise."""
    return not isinstance(operator, HasDifferentiable) or bool(operator.differentiable)
