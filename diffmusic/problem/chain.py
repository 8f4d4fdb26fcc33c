"""Damage after damage: operators in a chain are an operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, reduce
from itertools import accumulate
from typing import Any

from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.parameters import bind
from diffmusic.problem.chain_kinds import (
    WithAdjoint,
    WithDamage,
    WithLength,
    WithNoise,
    WithPower,
    WithRates,
    WithRegions,
    WithSources,
    WithSTFT,
)
from diffmusic.problem.operator import (
    HasAdjoint,
    HasCleanLength,
    HasDamage,
    HasFinish,
    HasFitted,
    HasMadeUp,
    HasMeasuredRate,
    HasMeasurement,
    HasPower,
    HasRegions,
    HasSources,
    HasSTFT,
    HasValidate,
    Operator,
    has_place,
    is_linear,
    is_noisy,
    sources,
)


class Chainable:
    """Operator that can be written before or after another: ``a >> b``."""

    def __rshift__(self, other: Operator) -> Chain:
        return chain(self, other)  # type: ignore[arg-type]

    def __rrshift__(self, other: Operator) -> Chain:
        return chain(other, self)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Chain(Chainable):
    """``y = A_n(... A_2(A_1(x)))``, made by ``chain``.

    One part at most may change the rate: the parts before it act at the rate of ``x``, those after it at that of ``y``.
    What the parts say beside ``forward`` holds for the chain where it can:

    - the adjoint is ``A_1^T ... A_n^T``, where each part has one;
    - the damage has a place where that of each part has one: it is their union;
    - finishing goes backwards: with ``u_k = A_k ... A_1 x`` of the estimate, ``v_n = y`` and
      ``v_{k-1} = finish_k(u_{k-1}, v_k)`` puts back what part k let through, and ``v_0`` is the result. A part without
      ``finish`` lets nothing through that could be put back: ``v_{k-1} = u_{k-1}``;
    - where a part is noise, the chain is noisy (``diffmusic.problem.noise_part``).

    Attributes:
        parts: The operators, in the order in which they happened.
    """

    parts: tuple[Operator, ...]
    sample_rate: int = 16000
    offset: float = 0.0

    def placed(self) -> tuple[Operator, ...]:
        """Return the parts, each bound to the rates at which it acts."""
        rate, measured = self.sample_rate, self._measured_rate()
        bound = []
        for part in self.parts:
            bound.append(bind(part, sample_rate=rate, measured_rate=measured, offset=self.offset))
            rate = measured if isinstance(part, HasMeasuredRate) else rate
        return tuple(bound)

    def _measured_rate(self) -> int:
        return self.measured_rate if isinstance(self, HasMeasuredRate) else self.sample_rate

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``A_n(... A_1(x))``."""
        return reduce(lambda u, part: part.forward(u), self.placed(), x)

    @property
    def linear(self) -> bool:
        """Whether every part is."""
        return all(map(is_linear, self.parts))

    @property
    def made_up(self) -> str:
        """Why a part of it is no recording's; empty where none is."""
        return next((part.made_up for part in self.parts if isinstance(part, HasMadeUp) and part.made_up), "")

    def validate(self, seconds: float) -> None:
        """Raise InputError where a part does not fit a recording of that length."""
        for part in self.placed():
            if isinstance(part, HasValidate):
                part.validate(seconds)

    def measurement(self, audio: Tensor) -> Tensor:
        """Return what of a file all parts let through; they see it at its own rate."""
        parts = [bind(part, sample_rate=self._measured_rate(), offset=self.offset) for part in self.parts]
        return reduce(lambda y, part: part.measurement(y) if isinstance(part, HasMeasurement) else y, parts, audio)

    def fitted(self, measurement: Tensor) -> Chain:
        """Return the chain with what only the measurement tells of its parts."""
        if not any(isinstance(part, HasFitted) for part in self.parts) or isinstance(self.parts[-1], HasSTFT):
            return self
        parts = [part.fitted(measurement) if isinstance(part, HasFitted) else part for part in self.placed()]
        return _bound(parts, self.sample_rate, self._measured_rate(), self.offset)

    def __reduce__(self) -> Any:
        return _bound, (self.parts, self.sample_rate, self._measured_rate(), self.offset)

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """Put back what each part let through, the last part first."""
        return put_back(self.placed(), estimate, measurement)


def put_back(parts: Sequence[Operator], estimate: Tensor, measurement: Tensor) -> Tensor:
    """Return ``v_0`` of an estimate ``u_0`` and a measurement ``v_n``, going backwards through parts (``Chain``)."""
    before = list(accumulate(parts[:-1], lambda u, part: part.forward(u), initial=estimate))
    for part, u in zip(reversed(parts), reversed(before), strict=True):
        measurement = part.finish(u, measurement) if isinstance(part, HasFinish) else u
    return measurement


def _bound(parts: Sequence[Operator], rate: int, measured_rate: int, offset: float) -> Chain:
    return bind(chain(*parts), sample_rate=rate, measured_rate=measured_rate, offset=offset)


def chain(*operators: Operator) -> Chain:
    """Chain operators: the first happened first.

    Args:
        *operators: Two or more; chains among them are taken apart.

    Returns:
        The operator of all of them.

    Raises:
        InputError: They do not go together: two change the rate or mix sources, or one follows a measurement that is
            no audio.
    """
    parts = tuple(part for each in operators for part in (each.parts if isinstance(each, Chain) else (each,)))
    rated = [isinstance(part, HasMeasuredRate) for part in parts]
    if sum(rated) > 1:
        raise InputError("two operators of the chain change the rate: give one of them")
    if sum(map(is_noisy, parts)) > 1:
        raise InputError("two operators of the chain are noise: give one of them")
    if sum(sources(part) > 1 for part in parts) > 1:
        raise InputError("two operators of the chain mix sources: give one of them")
    if any(isinstance(part, HasSTFT) for part in parts[:-1]):
        raise InputError("magnitudes are no audio: the operator that measures them comes last in a chain")
    place = all(map(has_place, parts))
    kinds = {
        WithAdjoint: all(isinstance(part, HasAdjoint) for part in parts),
        WithDamage: place and any(isinstance(part, HasDamage) for part in parts),
        WithRegions: place and any(isinstance(part, HasRegions) for part in parts),
        WithPower: any(isinstance(part, HasPower) for part in parts),
        WithSources: any(isinstance(part, HasSources) for part in parts),
        WithNoise: any(map(is_noisy, parts)),
        WithSTFT: isinstance(parts[-1], HasSTFT),
        WithRates: any(rated),
        WithLength: any(isinstance(part, HasCleanLength) for part in parts),
    }
    # The contract asks whether an operator has a method: the class has those that hold for these parts.
    bases = (*(kind for kind, holds in kinds.items() if holds), Chain)
    return _kind(bases)(parts)


@cache
def _kind(bases: tuple[type, ...]) -> type[Chain]:
    """One class for each set of methods: chains of the same parts are equal."""
    made: type[Chain] = dataclass(frozen=True)(type("Chain", bases, {"__module__": __name__}))
    return made
