"""An operator bound to one recording: what is optional in its contract has an answer here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.stft import STFT
from diffmusic.errors import InputError
from diffmusic.parameters import bind
from diffmusic.problem.operator import (
    HasDamage,
    HasFinish,
    HasFitted,
    HasMeasuredRate,
    HasMeasurement,
    HasOnly,
    HasPower,
    HasReach,
    HasSTFT,
    HasValidate,
    Operator,
    clean_length,
    clean_rate,
    damage,
    has_place,
    is_linear,
    sources,
    spans,
)


@dataclass(frozen=True, eq=False)
class BoundOperator:
    """Operator ``y = A x`` at the rates of one recording, fitted to what was measured of it.

    Attributes:
        operator: The plugin's operator, with its rates, its place in the recording, and all that only the measurement
            tells.
        rate: Of ``x``, Hz.
        measured_rate: Of ``y``, Hz.
    """

    operator: Operator
    rate: int
    measured_rate: int

    @classmethod
    def of(cls, operator: Operator, audio: np.ndarray, sample_rate: int) -> tuple[BoundOperator, Tensor]:
        """Bind and fit an operator to the content of a user's file.

        Args:
            operator: The operator.
            audio: (channels, time), or magnitudes, (channels, frames, bins).
            sample_rate: Of the file, Hz.

        Returns:
            The bound operator, and the measurement ``y``, (1, channels, ...), float64.

        Raises:
            InputError: The operator does not fit the file.
        """
        bound = cls.unfitted(operator, sample_rate)
        y = bound.measurement(torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float64))[None])
        fitted = bound.operator.fitted(y) if isinstance(bound.operator, HasFitted) else bound.operator
        return cls(fitted, bound.rate, sample_rate), y

    @classmethod
    def unfitted(cls, operator: Operator, sample_rate: int) -> BoundOperator:
        """Bind an operator to the rates of a recording alone, of which nothing was read.

        Args:
            operator: The operator.
            sample_rate: Of the file, Hz.

        Returns:
            The bound operator.
        """
        rate = clean_rate(operator, sample_rate)
        return cls(bind(operator, sample_rate=rate, measured_rate=sample_rate, offset=0.0), rate, sample_rate)

    def at(self, rate: int, offset: float) -> BoundOperator:
        """Bind to an excerpt.

        Args:
            rate: Of ``x``, Hz.
            offset: Beginning of the excerpt in the recording, seconds; a measurement with a rate of its own is whole.

        Returns:
            The operator for the excerpt.
        """
        if self.has_own_rate:  # the measurement is whole: there is one excerpt
            return BoundOperator(bind(self.operator, sample_rate=rate), rate, self.measured_rate)
        return BoundOperator(bind(self.operator, sample_rate=rate, offset=offset), rate, rate)

    @cached_property
    def sources(self) -> int:
        """Channels of ``x`` that one channel of ``y`` mixes."""
        return sources(self.operator)

    @cached_property
    def linear(self) -> bool:
        """Whether the operator says it is linear."""
        return is_linear(self.operator)

    @cached_property
    def spectrogram(self) -> STFT | None:
        """The STFT whose magnitudes ``y`` holds; None where it is audio."""
        return self.operator.stft if isinstance(self.operator, HasSTFT) else None

    @cached_property
    def has_own_rate(self) -> bool:
        """Whether the measurement has a rate of its own, the same at any rate of ``x``."""
        return isinstance(self.operator, HasMeasuredRate)

    @cached_property
    def has_damage(self) -> bool:
        """Whether the operator names its damage; if not, all of the recording is solved."""
        return isinstance(self.operator, HasDamage)

    @cached_property
    def has_place(self) -> bool:
        """Whether it says where its damage is, in time or in time and frequency."""
        return has_place(self.operator)

    @cached_property
    def reach(self) -> float | None:
        """How far it sees around lost samples, seconds; None where it may depend on all of the recording."""
        if not (self.has_place and isinstance(self.operator, HasReach)) or isinstance(self.operator, HasFitted):
            return None
        return None if self.sources > 1 or self.has_own_rate or self.spectrogram else float(self.operator.reach)

    def spans(self, samples: int) -> list[tuple[int, int]]:
        """Return the stretches of which all or a band is lost.

        Args:
            samples: Length of ``x``.

        Returns:
            Pairs (start, stop) in samples; all of them where the operator names none.
        """
        return spans(self.operator, samples)

    def damage(self, samples: int) -> list[tuple[int, int]]:
        """Return the lost intervals.

        Args:
            samples: Length of ``x``.

        Returns:
            Intervals ``(start, stop)`` in samples; one of all samples where the operator names none.
        """
        return damage(self.operator, samples)

    def length(self, y: Tensor) -> int:
        """Return the length of ``x``.

        Args:
            y: The measurement.

        Returns:
            Samples at ``rate``.
        """
        return clean_length(self.operator, y)

    def only(self, spans: Sequence[tuple[int, int]]) -> BoundOperator:
        """Keep some of the lost intervals, as if the others were whole.

        Args:
            spans: The intervals to keep, ``(start, stop)`` in samples.

        Returns:
            The operator with these alone.

        Raises:
            InputError: The operator cannot leave any out.
        """
        if not isinstance(self.operator, HasOnly):
            raise InputError("this operator has to be solved as a whole: choose another solver")
        return BoundOperator(self.operator.only(spans), self.rate, self.measured_rate)

    def validate(self, samples: int) -> None:
        """Check that the operator fits a recording, and damages it.

        Args:
            samples: Length of ``x``.

        Raises:
            InputError: It does not fit, or not one sample is lost.
        """
        if isinstance(self.operator, HasValidate):
            self.operator.validate(samples / self.rate)
        if not self.spans(samples):
            raise InputError("nothing is damaged: not one sample of the recording is lost")

    def measurement(self, audio: Tensor) -> Tensor:
        """Return the part of a file's audio that was measured.

        Args:
            audio: (batch, channels, time).

        Returns:
            The measurement; all of the audio where the operator says nothing.
        """
        return self.operator.measurement(audio) if isinstance(self.operator, HasMeasurement) else audio

    def power(self, y: Tensor) -> Tensor:
        """Estimate the mean square of ``x``: ``operator.power`` if defined, else that of the observed samples.

        Args:
            y: The measurement, (batch, channels, ...).

        Returns:
            The mean square, (batch, 1, 1).
        """
        if isinstance(self.operator, HasPower):
            return self.operator.power(y).reshape(-1, 1, 1)
        lost = sum(stop - start for start, stop in self.damage(y.shape[-1])) if self.has_damage else 0
        seen = (y.shape[-1] - lost) * (y[0].numel() // max(1, y.shape[-1]))
        return (y.square().flatten(1).sum(1) / max(1, seen)).reshape(-1, 1, 1)

    def finish(self, estimate: Tensor, y: Tensor) -> Tensor:
        """Put the observed part back, where the operator knows how.

        Args:
            estimate: Of ``x``, (batch, channels, time).
            y: The measurement.

        Returns:
            The finished estimate.
        """
        return self.operator.finish(estimate, y) if isinstance(self.operator, HasFinish) else estimate

    def items(self, y: Tensor) -> Tensor:
        """Arrange a measurement as items: its channels together, or each a mixture by itself.

        Args:
            y: The measurement, (1, channels, ...).

        Returns:
            (1, channels, ...), or (channels, 1, ...) for an operator that mixes.
        """
        return y if self.sources == 1 else y.transpose(0, 1)
