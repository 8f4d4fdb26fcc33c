"""Damage after damage: operators in a chain are an operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, reduce
from itertools import accumulate
from typing import Any

from torch import Tensor

from diffmusic.audio.stft import STFT
from diffmusic.audio.windows import merge
from diffmusic.errors import InputError
from diffmusic.parameters import bind
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
    clean_rate,
    has_place,
    is_linear,
    observed_rate,
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
      ``finish`` lets nothing through that could be put back: ``v_{k-1} = u_{k-1}``.

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
        parts = self.placed()
        before = list(accumulate(parts[:-1], lambda u, part: part.forward(u), initial=estimate))
        out = measurement
        for part, u in zip(reversed(parts), reversed(before), strict=True):
            out = part.finish(u, out) if isinstance(part, HasFinish) else u
        return out


class _WithAdjoint:
    placed: Any

    def adjoint(self, y: Tensor) -> Tensor:
        """Compute ``A_1^T(... A_n^T(y))``."""
        return reduce(lambda u, part: part.adjoint(u), reversed(self.placed()), y)


class _WithDamage:
    placed: Any

    def damage(self, samples: int) -> Sequence[tuple[int, int]]:
        """Return the lost intervals of all parts, sorted and disjoint."""
        return merge(span for part in self.placed() if isinstance(part, HasDamage) for span in part.damage(samples))


class _WithRegions:
    placed: Any

    def regions(self, samples: int) -> Sequence[tuple[int, int, float, float]]:
        """Return the lost rectangles of all parts."""
        return [each for part in self.placed() if isinstance(part, HasRegions) for each in part.regions(samples)]


class _WithPower:
    placed: Any

    def power(self, y: Tensor) -> Tensor:
        """Return the mean square that the last part to know it suggests, (batch, 1, 1)."""
        return next(part for part in reversed(self.placed()) if isinstance(part, HasPower)).power(y)


class _WithSources:
    parts: Any

    @property
    def sources(self) -> int:
        """How many channels of ``x`` one channel of ``y`` mixes."""
        return max(map(sources, self.parts))


class _WithSTFT:
    placed: Any

    @property
    def stft(self) -> STFT:
        """The STFT of the last part."""
        return self.placed()[-1].stft  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _WithRates:
    measured_rate: int = 16000

    def clean_rate(self, rate: int) -> int:
        """Return the rate of ``x``, Hz, for a measurement at ``rate``."""
        return reduce(lambda r, part: clean_rate(part, r), reversed(self.parts), rate)  # type: ignore[attr-defined]

    def observed_rate(self, rate: int) -> int:
        """Return the rate of ``y``, Hz, for audio at ``rate``."""
        return reduce(lambda r, part: observed_rate(part, r), self.parts, rate)  # type: ignore[attr-defined]


class _WithLength:
    placed: Any

    def clean_length(self, y: Tensor) -> int:
        """Return the samples of ``x``."""
        return int(next(part for part in self.placed() if isinstance(part, HasCleanLength)).clean_length(y))


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
    if sum(sources(part) > 1 for part in parts) > 1:
        raise InputError("two operators of the chain mix sources: give one of them")
    if any(isinstance(part, HasSTFT) for part in parts[:-1]):
        raise InputError("magnitudes are no audio: the operator that measures them comes last in a chain")
    place = all(map(has_place, parts))
    kinds = {
        _WithAdjoint: all(isinstance(part, HasAdjoint) for part in parts),
        _WithDamage: place and any(isinstance(part, HasDamage) for part in parts),
        _WithRegions: place and any(isinstance(part, HasRegions) for part in parts),
        _WithPower: any(isinstance(part, HasPower) for part in parts),
        _WithSources: any(isinstance(part, HasSources) for part in parts),
        _WithSTFT: isinstance(parts[-1], HasSTFT),
        _WithRates: any(rated),
        _WithLength: any(isinstance(part, HasCleanLength) for part in parts),
    }
    # The contract asks whether an operator has a method: the class has those that hold for these parts.
    bases = (*(kind for kind, holds in kinds.items() if holds), Chain)
    return _kind(bases)(parts)


@cache
def _kind(bases: tuple[type, ...]) -> type[Chain]:
    """One class for each set of methods: chains of the same parts are equal."""
    made: type[Chain] = dataclass(frozen=True)(type("Chain", bases, {"__module__": __name__}))
    return made
