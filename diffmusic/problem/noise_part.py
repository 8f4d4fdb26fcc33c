"""The part of a chain that is noise: what is known of it, and what happened before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from diffmusic.problem.chain import Chain
from diffmusic.problem.operator import HasSTFT, Operator, is_noisy

_DRAWN = 16000  # samples of noise that tell what the parts after it do to its deviation


@runtime_checkable
class HasDeviation(Protocol):
    @property
    def std(self) -> float | None: ...


def around(operator: Operator) -> tuple[list[Operator], list[Operator]]:
    """Return the parts of an operator up to its noise, and those after it, each bound; all are before it where none is
    noise."""
    parts = list(operator.placed()) if isinstance(operator, Chain) else [operator]
    place = next((k + 1 for k, part in enumerate(parts) if is_noisy(part)), len(parts))
    return parts[:place], parts[place:]


def forward(parts: Sequence[Operator], x: Tensor) -> Tensor:
    """Compute ``A_n(... A_1(x))``."""
    return reduce(lambda u, part: part.forward(u), parts, x)


def deviation(operator: Operator) -> float:
    """Return the standard deviation of white noise that an operator tells, where the noise stands; 0 for none."""
    noise = around(operator)[0][-1]
    return (noise.std or 0.0) if is_noisy(noise) and isinstance(noise, HasDeviation) else 0.0


def measured_deviation(operator: Operator, std: float) -> float:
    """Return what a deviation is in the measurement, after the parts that follow the noise."""
    after = around(operator)[1]
    if not std or not after or isinstance(after[-1], HasSTFT):  # of magnitudes it is that of the audio
        return std
    draw = torch.randn(1, 1, _DRAWN, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return float(forward(after, std * draw).square().mean().sqrt())
