"""What a chain has beside ``forward``, where its parts have it: a mixin for each optional method of an operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from torch import Tensor

from diffmusic.audio.stft import STFT
from diffmusic.audio.windows import merge
from diffmusic.problem.operator import (
    HasCleanLength,
    HasDamage,
    HasPower,
    HasRegions,
    clean_rate,
    observed_rate,
    sources,
)


class WithAdjoint:
    placed: Any

    def adjoint(self, y: Tensor) -> Tensor:
        """Compute ``A_1^T(... A_n^T(y))``."""
        return reduce(lambda u, part: part.adjoint(u), reversed(self.placed()), y)


class WithDamage:
    placed: Any

    def damage(self, samples: int) -> Sequence[tuple[int, int]]:
        """Return the lost intervals of all parts, sorted and disjoint."""
        return merge(span for part in self.placed() if isinstance(part, HasDamage) for span in part.damage(samples))


class WithRegions:
    placed: Any

    def regions(self, samples: int) -> Sequence[tuple[int, int, float, float]]:
        """Return the lost rectangles of all parts."""
        return [each for part in self.placed() if isinstance(part, HasRegions) for each in part.regions(samples)]


class WithPower:
    placed: Any

    def power(self, y: Tensor) -> Tensor:
        """Return the mean square that the last part to know it suggests, (batch, 1, 1)."""
        return next(part for part in reversed(self.placed()) if isinstance(part, HasPower)).power(y)


class WithSources:
    parts: Any

    @property
    def sources(self) -> int:
        """How many channels of ``x`` one channel of ``y`` mixes."""
        return max(map(sources, self.parts))


class WithNoise:
    noisy = True


class WithSTFT:
    placed: Any

    @property
    def stft(self) -> STFT:
        """The STFT of the last part."""
        return self.placed()[-1].stft  # type: ignore[no-any-return]


@dataclass(frozen=True)
class WithRates:
    measured_rate: int = 16000

    def clean_rate(self, rate: int) -> int:
        """Return the rate of ``x``, Hz, for a measurement at ``rate``."""
        return reduce(lambda r, part: clean_rate(part, r), reversed(self.parts), rate)  # type: ignore[attr-defined]

    def observed_rate(self, rate: int) -> int:
        """Return the rate of ``y``, Hz, for audio at ``rate``."""
        return reduce(lambda r, part: observed_rate(part, r), self.parts, rate)  # type: ignore[attr-defined]


class WithLength:
    placed: Any

    def clean_length(self, y: Tensor) -> int:
        """Return the samples of ``x``."""
        return int(next(part for part in self.placed() if isinstance(part, HasCleanLength)).clean_length(y))
