"""An inverse problem: what damaged the audio, what was measured, and how well an estimate explains it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor

from diffmusic.errors import InputError

Space = Literal["mel", "waveform"]


@runtime_checkable
class Operator(Protocol):
    """What damaged the audio: ``y = A(x)``, with ``x`` of shape (batch, channels, time).

    ``forward`` is pure, differentiable and free of noise; every item of the batch is treated alone.
    An operator is a frozen dataclass, and may also define

    - ``adjoint(y)``: the transpose ``A^T y`` of a linear operator, of the shape of ``x``;
    - ``damage(samples)``: the intervals ``(start, stop)`` in samples, sorted and disjoint, that the
      measurement says nothing about. Only their surroundings are solved; without it the whole file is;
    - ``validate(seconds)``: raise InputError if the operator does not fit a recording of that length, and
      ``warnings.warn`` what the user should know;
    - ``measurement(audio)``: what of the user's file was really measured (default: all of it);
    - ``finish(estimate, measurement)``: return the estimate with what was observed put back;
    - fields ``sample_rate`` (Hz) and ``offset`` (seconds): set by the core to the rate and the place in the
      recording at which the operator is applied. An operator with ``damage`` has both.
    """

    def forward(self, x: Tensor, /) -> Tensor:
        """The measurement ``A(x)`` of clean audio ``x``."""
        ...


def damage(operator: Any, samples: int) -> list[tuple[int, int]]:
    """The lost intervals of a recording of that many samples; all of it where the operator names none."""
    if not hasattr(operator, "damage"):
        return [(0, samples)]
    return [(int(start), int(stop)) for start, stop in operator.damage(samples)]


def measurement(operator: Any, audio: Tensor) -> Tensor:
    """The measurement contained in a user's file: ``operator.measurement(audio)``, or the file as it is."""
    return operator.measurement(audio) if hasattr(operator, "measurement") else audio


def finish(operator: Any, estimate: Tensor, measured: Tensor) -> Tensor:
    """The estimate with the observed part put back, where the operator knows how."""
    return operator.finish(estimate, measured) if hasattr(operator, "finish") else estimate


@dataclass(frozen=True)
class Problem:
    """Find ``x`` with ``A(g x) / g = y``, for items at the level the prior knows.

    operator: ``A``, bound to the rate of ``measured``.
    measured: ``y``, (batch, ...), the measurement divided by its gain.
    gain: ``g``, (batch, 1, 1); the level of the recording relative to the prior's. ``A`` acts at the
        recording's own level, so that operators which are not linear (a clipper) see what they expect.
    features: ``T``, the map from a measurement to the space of the vocoder-mel constraint, (batch, ...).
    """

    operator: Operator
    measured: Tensor
    gain: Tensor | float = 1.0
    features: Callable[[Tensor], Tensor] | None = None

    def predict(self, x: Tensor) -> Tensor:
        """``A(g x) / g``: what would have been measured, had ``x`` been recorded."""
        return self.operator.forward(x * self.gain) / self.gain

    @cached_property
    def _measured_features(self) -> Tensor:
        return self._transform(self.measured)

    def _transform(self, y: Tensor) -> Tensor:
        if self.features is None:
            raise InputError("this problem has no mel transform; take the waveform misfit")
        return self.features(y)

    def misfit(self, x: Tensor, space: Space = "mel") -> Tensor:
        """``||T A x - T y||^2`` (``T`` the log-mel, or the identity for ``"waveform"``), one value an item."""
        predicted = self.predict(x)
        if space == "mel":
            difference = self._transform(predicted) - self._measured_features
        else:
            difference = predicted - self.measured
        return difference.square().flatten(1).sum(1)
