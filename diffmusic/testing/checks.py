"""Shared parts of the checks of every kind of component."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from diffmusic.errors import reason
from diffmusic.solver.noise import generator

RATE = 16000
SAMPLES = 1601


@dataclass(frozen=True)
class Result:
    """Result of one check.

    Attributes:
        name: Name of the check, in words.
        passed: Whether it passed.
        detail: The number or the reason it goes by.
    """

    name: str
    passed: bool
    detail: str


@runtime_checkable
class HasExample(Protocol):
    """Class whose defaults alone would not do anything, and that makes an instance to check."""

    def example(self) -> Any: ...


@runtime_checkable
class HasProbe(Protocol):
    """Component that brings what it is checked with.

    A metric returns a reference, estimates of it from good to bad and their rate, a classical solver an operator.
    """

    def probe(self) -> Any: ...


Check = Callable[[Any], str]
"""Takes a component, returns the number it passes by, and raises AssertionError with the number it fails by."""


def title(check: Check) -> str:
    """Return the name of a check, in words."""
    return check.__name__.removeprefix("_").replace("_", " ")


def lacking(component: object, names: Iterable[str]) -> list[str]:
    """Return which members a component lacks."""
    return [name for name in names if not hasattr(component, name)]


def examine(component: Any, checks: Iterable[Check]) -> list[Result]:
    """Run every check; one that raises has failed, with what it raised as its detail."""
    results = []
    for check in checks:
        try:
            results.append(Result(title(check), True, check(component)))
        except Exception as error:  # a component under test may raise anything
            detail = str(error) if isinstance(error, AssertionError) else reason(error)
            results.append(Result(title(check), False, detail))
    return results


def audio(batch: int = 2, channels: int = 1, samples: int = SAMPLES, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(batch, channels, samples, generator=generator(seed), dtype=torch.float64)


def relative(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape, f"shapes differ: {tuple(a.shape)} and {tuple(b.shape)}"
    return float((a - b).norm() / b.norm().clamp(min=1e-30))


def frozen(component: Any) -> None:
    params = getattr(component, "__dataclass_params__", None)
    assert params is not None, "it is not a dataclass"
    assert params.frozen, "it is a dataclass, but not a frozen one"
