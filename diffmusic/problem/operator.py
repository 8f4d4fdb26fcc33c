"""The contract of an operator: what damaged the audio, and what else it may say about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from diffmusic.audio.stft import STFT
from diffmusic.audio.windows import merge


@runtime_checkable
class Operator(Protocol):
    """Damage to audio: ``y = A(x)``, with ``x`` of shape (batch, channels, time).

    ``forward`` is pure, differentiable and free of noise; every item of the batch is treated alone.
    An operator is a frozen dataclass, and may also define

    - ``adjoint(y)``: the transpose ``A^T y`` of a linear operator, of the shape of ``x``;
    - ``linear``: True for a linear operator without one;
    - ``damage(samples)``: the intervals ``(start, stop)`` in samples, sorted and disjoint, that the
      measurement says nothing about. Only their surroundings are solved, and frames of the log-mel count by what of
      them lies outside; without it the whole file is solved;
    - ``regions(samples)``: rectangles of the spectrogram ``(start, stop, low, high)``, samples and Hz, that the
      measurement says nothing about; their surroundings are solved too;
    - ``validate(seconds)``: raise InputError if the operator does not fit a recording of that length, and
      ``warnings.warn`` what the user should know;
    - ``measurement(audio)``: what of the user's file was really measured (default: all of it);
    - ``fitted(measurement)``: the operator with what only the measurement can tell, such as a clipping level;
    - ``finish(estimate, measurement)``: return the estimate with what was observed put back;
    - ``power(y)``: the mean square of ``x`` that a measurement suggests, (batch, 1, 1), where that of ``y`` says
      little about it; the prior is shown music at the level it knows;
    - ``only(spans)``: the operator with these of its lost intervals, in samples, and no others;
    - ``reach``: seconds on either side of what is lost that ``measurement`` and ``finish`` depend on. Long recordings
      are then read and restored passage by passage, each by the operator bound to its ``offset``;
    - ``solver``: name of the solver that is its default, where that is another than of most (a class variable);
    - ``noisy``: True where noise is the damage: it is estimated where none is told, nor its deviation ``std`` known;
    - ``sources``: how many channels of ``x`` one channel of ``y`` mixes;
    - ``stft``: the ``STFT`` whose magnitudes it measures, (batch, channels, frames, bins);
    - ``clean_rate(rate)``: the rate of ``x``, Hz, for a measurement at that rate, where it differs,
      ``observed_rate(rate)``: the rate of ``y`` for audio at that rate, and ``clean_length(y)``: the samples of ``x``;
    - fields ``sample_rate``, ``measured_rate`` (Hz) and ``offset`` (seconds): set by the core to the rate of ``x``,
      the rate of ``y``, and the place in the recording at which the operator is applied. An operator with ``damage``
      has the first and the last; one whose measurement has a rate of its own has ``measured_rate``.

    The core asks a ``BoundOperator``, which answers for the parts that an operator leaves out.
    """

    def forward(self, x: Tensor, /) -> Tensor:
        """Measure clean audio: ``y = A(x)``, pure, differentiable, without noise.

        Args:
            x: Audio, (batch, channels, time).

        Returns:
            The measurement, (batch, channels, time) or, of magnitudes, (batch, channels, frames, bins).
        """
        ...


@runtime_checkable
class HasAdjoint(Protocol):
    def adjoint(self, y: Tensor, /) -> Tensor: ...


@runtime_checkable
class HasLinear(Protocol):
    @property
    def linear(self) -> bool: ...


@runtime_checkable
class HasDamage(Protocol):
    def damage(self, samples: int, /) -> Sequence[tuple[int, int]]: ...


@runtime_checkable
class HasOnly(Protocol):
    def only(self, spans: Sequence[tuple[int, int]], /) -> Operator: ...


@runtime_checkable
class HasReach(Protocol):
    """Says how far it sees: of an operator, or of a solver without a prior (``diffmusic.solver``)."""

    @property
    def reach(self) -> float: ...


@runtime_checkable
class HasRegions(Protocol):
    def regions(self, samples: int, /) -> Sequence[tuple[int, int, float, float]]: ...


@runtime_checkable
class HasValidate(Protocol):
    def validate(self, seconds: float, /) -> None: ...


@runtime_checkable
class HasMeasurement(Protocol):
    def measurement(self, audio: Tensor, /) -> Tensor: ...


@runtime_checkable
class HasFitted(Protocol):
    def fitted(self, measurement: Tensor, /) -> Operator: ...


@runtime_checkable
class HasMadeUp(Protocol):
    @property
    def made_up(self) -> str: ...


@runtime_checkable
class HasFinish(Protocol):
    def finish(self, estimate: Tensor, measurement: Tensor, /) -> Tensor: ...


@runtime_checkable
class HasPower(Protocol):
    def power(self, y: Tensor, /) -> Tensor: ...


@runtime_checkable
class HasNoise(Protocol):
    @property
    def noisy(self) -> bool: ...


@runtime_checkable
class HasSources(Protocol):
    @property
    def sources(self) -> int: ...


@runtime_checkable
class HasSTFT(Protocol):
    @property
    def stft(self) -> STFT: ...


@runtime_checkable
class HasCleanRate(Protocol):
    def clean_rate(self, rate: int, /) -> int: ...


@runtime_checkable
class HasObservedRate(Protocol):
    def observed_rate(self, rate: int, /) -> int: ...


@runtime_checkable
class HasCleanLength(Protocol):
    def clean_length(self, y: Tensor, /) -> int: ...


@runtime_checkable
class HasMeasuredRate(Protocol):
    @property
    def measured_rate(self) -> int: ...


def damage(operator: Operator, samples: int) -> list[tuple[int, int]]:
    """The lost intervals of a recording of that many samples; all of it where the operator names none."""
    if not isinstance(operator, HasDamage):
        return [(0, samples)]
    return [(int(start), int(stop)) for start, stop in operator.damage(samples)]


def regions(operator: Operator, samples: int) -> list[tuple[int, int, float, float]]:
    """The lost rectangles ``(start, stop, low, high)`` of a recording, samples and Hz; none where it names none."""
    if not isinstance(operator, HasRegions):
        return []
    return [(int(start), int(stop), float(low), float(high)) for start, stop, low, high in operator.regions(samples)]


def spans(operator: Operator, samples: int) -> list[tuple[int, int]]:
    """The stretches ``(start, stop)`` in samples, sorted and disjoint, of which all or a band is lost; all of a
    recording where the operator names no damage."""
    if not has_place(operator):
        return [(0, samples)]
    lost = damage(operator, samples) if isinstance(operator, HasDamage) else []
    return merge([*lost, *((start, stop) for start, stop, _, _ in regions(operator, samples))])


def has_place(operator: Operator) -> bool:
    """Whether the operator says where its damage is."""
    return isinstance(operator, HasDamage | HasRegions)


def seen(operator: Operator) -> Callable[[Tensor], Tensor] | None:
    """Return what of a file's noise was measured: none of it where the damage lies; None where that is all of it."""
    return operator.measurement if isinstance(operator, HasMeasurement) and has_place(operator) else None


def kept(operator: Operator, samples: int) -> Tensor:
    """Return 1 where something was measured and 0 in the gaps, (time,), float64."""
    mask = torch.ones(samples, dtype=torch.float64)
    for start, stop in damage(operator, samples):
        mask[start:stop] = 0
    return mask


def observed(operator: Operator, samples: int, frames: int, width: int) -> Tensor:
    """What part of each frame was measured, (frames,), 0 to 1: of ``width`` samples around its centre, where the frames
    share a recording of that many samples evenly."""
    total = torch.cat([torch.zeros(1, dtype=torch.float64), kept(operator, samples).cumsum(0)])
    centre = (torch.arange(frames) + 0.5) * samples / frames
    first, last = ((centre + side).round().long().clamp(0, samples) for side in (-width / 2, width / 2))
    return (total[last] - total[first]) / (last - first).clamp(min=1)


def is_noisy(operator: Operator) -> bool:
    """Whether noise is what the operator is about."""
    return isinstance(operator, HasNoise) and bool(operator.noisy)


def sources(operator: Operator) -> int:
    """How many channels of clean audio one channel of the measurement mixes."""
    return int(operator.sources) if isinstance(operator, HasSources) else 1


def is_linear(operator: Operator) -> bool:
    """Whether the operator says it is linear: it has an adjoint, or ``linear`` is True."""
    return isinstance(operator, HasAdjoint) or (isinstance(operator, HasLinear) and bool(operator.linear))


def is_spectrogram(operator: Operator) -> bool:
    """Whether the operator measures magnitudes, not audio."""
    return isinstance(operator, HasSTFT)


def clean_rate(operator: Operator, rate: int) -> int:
    """The rate of the clean audio, Hz, for a measurement at ``rate``."""
    return int(operator.clean_rate(rate)) if isinstance(operator, HasCleanRate) else rate


def observed_rate(operator: Operator, rate: int) -> int:
    """The rate of the measurement, Hz, of clean audio at ``rate``."""
    return int(operator.observed_rate(rate)) if isinstance(operator, HasObservedRate) else rate


def clean_length(operator: Operator, y: Tensor) -> int:
    """Samples of the clean audio, at its own rate."""
    return int(operator.clean_length(y)) if isinstance(operator, HasCleanLength) else y.shape[-1]
