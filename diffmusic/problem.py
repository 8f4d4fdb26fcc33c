"""An inverse problem: what damaged the audio, what was measured, and how well an estimate explains it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from diffmusic.errors import InputError

Space = Literal["mel", "waveform", "both"]


@runtime_checkable
class Operator(Protocol):
    """What damaged the audio: ``y = A(x)``, with ``x`` of shape (batch, channels, time).

    ``forward`` is pure, differentiable and free of noise; every item of the batch is treated alone.
    An operator is a frozen dataclass, and may also define

    - ``adjoint(y)``: the transpose ``A^T y`` of a linear operator, of the shape of ``x``;
    - ``linear``: True for a linear operator without one;
    - ``damage(samples)``: the intervals ``(start, stop)`` in samples, sorted and disjoint, that the
      measurement says nothing about. Only their surroundings are solved, and frames of the log-mel count by what of
      them lies outside; without it the whole file is solved;
    - ``validate(seconds)``: raise InputError if the operator does not fit a recording of that length, and
      ``warnings.warn`` what the user should know;
    - ``measurement(audio)``: what of the user's file was really measured (default: all of it);
    - ``fitted(measurement)``: the operator with what only the measurement can tell, such as a clipping level;
    - ``finish(estimate, measurement)``: return the estimate with what was observed put back;
    - ``power(y)``: the mean square of ``x`` that a measurement suggests, (batch, 1, 1), where that of ``y`` says
      little about it; the prior is shown music at the level it knows;
    - ``sources``: how many channels of ``x`` one channel of ``y`` mixes;
    - ``stft``: the ``STFT`` whose magnitudes it measures, (batch, channels, frames, bins);
    - ``clean_rate(rate)``: the rate of ``x``, Hz, for a measurement at that rate, where it differs, and
      ``clean_length(y)``: the samples of ``x``;
    - fields ``sample_rate``, ``measured_rate`` (Hz) and ``offset`` (seconds): set by the core to the rate of ``x``,
      the rate of ``y``, and the place in the recording at which the operator is applied. An operator with ``damage``
      has the first and the last; one whose measurement has a rate of its own has ``measured_rate``.
    """

    def forward(self, x: Tensor, /) -> Tensor:
        """The measurement ``A(x)`` of clean audio ``x``."""
        ...


@dataclass(frozen=True)
class STFT:
    """Settings of a magnitude spectrogram: window and hop in samples, the rate they refer to in Hz."""

    n_fft: int
    hop: int
    sample_rate: int


def damage(operator: Any, samples: int) -> list[tuple[int, int]]:
    """The lost intervals of a recording of that many samples; all of it where the operator names none."""
    if not hasattr(operator, "damage"):
        return [(0, samples)]
    return [(int(start), int(stop)) for start, stop in operator.damage(samples)]


def observed(operator: Any, samples: int, frames: int, width: int) -> Tensor:
    """What part of each frame was measured, (frames,), 0 to 1: of ``width`` samples around its centre, where the frames
    share a recording of that many samples evenly."""
    kept = torch.ones(samples, dtype=torch.float64)
    for start, stop in damage(operator, samples):
        kept[start:stop] = 0
    total = torch.cat([torch.zeros(1, dtype=torch.float64), kept.cumsum(0)])
    centre = (torch.arange(frames) + 0.5) * samples / frames
    first, last = ((centre + side).round().long().clamp(0, samples) for side in (-width / 2, width / 2))
    return (total[last] - total[first]) / (last - first).clamp(min=1)


def measurement(operator: Any, audio: Tensor) -> Tensor:
    """The measurement contained in a user's file: ``operator.measurement(audio)``, or the file as it is."""
    return operator.measurement(audio) if hasattr(operator, "measurement") else audio


def fitted(operator: Any, measured: Tensor) -> Any:
    """The operator with what it takes from its measurement, at the rate of the recording, where it takes anything."""
    return operator.fitted(measured) if hasattr(operator, "fitted") else operator


def finish(operator: Any, estimate: Tensor, measured: Tensor) -> Tensor:
    """The estimate with the observed part put back, where the operator knows how."""
    return operator.finish(estimate, measured) if hasattr(operator, "finish") else estimate


def power(operator: Any, y: Tensor) -> Tensor:
    """Mean square of the clean audio that a measurement suggests, (batch, 1, 1): the operator's word, or that of what
    was observed."""
    if hasattr(operator, "power"):
        return operator.power(y).reshape(-1, 1, 1)
    lost = sum(stop - start for start, stop in damage(operator, y.shape[-1])) if hasattr(operator, "damage") else 0
    return (y.square().flatten(1).sum(1) / max(1, y[0].numel() - lost)).reshape(-1, 1, 1)


def sources(operator: Any) -> int:
    """How many channels of clean audio one channel of the measurement mixes."""
    return int(getattr(operator, "sources", 1))


def is_linear(operator: Any) -> bool:
    """Whether the operator says it is linear: it has an adjoint, or ``linear`` is True."""
    return hasattr(operator, "adjoint") or bool(getattr(operator, "linear", False))


def is_spectrogram(operator: Any) -> bool:
    """Whether the operator measures magnitudes, not audio."""
    return hasattr(operator, "stft")


def clean_rate(operator: Any, rate: int) -> int:
    """The rate of the clean audio, Hz, for a measurement at ``rate``."""
    return int(operator.clean_rate(rate)) if hasattr(operator, "clean_rate") else rate


def clean_length(operator: Any, y: Tensor) -> int:
    """Samples of the clean audio, at its own rate."""
    return int(operator.clean_length(y)) if hasattr(operator, "clean_length") else y.shape[-1]


@dataclass(frozen=True)
class Problem:
    """Find ``x`` with ``A(g x) / g = y``, for items at the level the prior knows.

    operator: ``A``, bound to the rate of ``measured``.
    measured: ``y``, (batch, ...), the measurement divided by its gain.
    gain: ``g``, (batch, 1, 1); the level of the recording relative to the prior's. ``A`` acts at the
        recording's own level, so that operators which are not linear (a clipper) see what they expect.
    features: ``T``, the map from a measurement to the space of the vocoder-mel constraint, (batch, ...).
    noise: the standard deviation of white noise in ``measured``, in its units, (batch, 1, ...) or one for all.
    """

    operator: Operator
    measured: Tensor
    gain: Tensor | float = 1.0
    features: Callable[[Tensor], Tensor] | None = None
    noise: Tensor | float = 0.0

    def predict(self, x: Tensor) -> Tensor:
        """``A(g x) / g``: what would have been measured, had ``x`` been recorded."""
        y = self.operator.forward(x * self.gain)
        return y / (self.gain if isinstance(self.gain, float) else self.gain.reshape(-1, *[1] * (y.ndim - 1)))

    @cached_property
    def _measured_features(self) -> Tensor:
        return self._transform(self.measured)

    def _transform(self, y: Tensor) -> Tensor:
        if self.features is None:
            raise InputError("this problem has no mel transform; take the waveform misfit")
        return self.features(y)

    def misfit(self, x: Tensor, space: Space = "mel") -> Tensor:
        """``||T A x - T y||^2`` (``T`` the log-mel, or the identity for ``"waveform"``), one value an item.

        ``"both"`` is their sum, ``||T A x - T y||^2 + N ||A x - y||^2 / ||y||^2`` with ``N`` the size of ``T y``: an
        error as large as the measurement counts as much as one nat in every frame and band.
        """
        predicted = self.predict(x)
        if space != "both":
            return self._distance(predicted, space)
        return self._distance(predicted, "mel") + self._worth * self._distance(predicted, "waveform")

    def _distance(self, predicted: Tensor, space: Space) -> Tensor:
        if space == "mel":
            difference = self._transform(predicted) - self._measured_features
        else:
            difference = predicted - self.measured
        return difference.square().flatten(1).sum(1)

    @cached_property
    def _worth(self) -> Tensor:
        """Of the waveform's squared error in the misfit of both, one value an item."""
        energy = self.measured.square().flatten(1).sum(1)
        return torch.where(energy > 0, self._measured_features[0].numel() / energy, 0.0)

    def floor(self, space: Space = "mel") -> Tensor | float:
        """``E ||T (y + n) - T y||^2``, the misfit that noise alone explains, one value an item; 0 without noise.

        A smaller misfit fits the noise. One fixed draw stands for the mean: it is over thousands of values.
        """
        if isinstance(self.noise, float) and self.noise == 0:
            return 0.0
        return self._floors[space]

    @cached_property
    def _floors(self) -> dict[Space, Tensor]:
        draw = torch.randn(self.measured.shape[1:], generator=torch.Generator().manual_seed(0))
        noise = self.noise * draw.to(self.measured)[None]
        floors: dict[Space, Tensor] = {"waveform": noise.expand_as(self.measured).square().flatten(1).sum(1)}
        if self.features is not None:
            change = self._transform(self.measured + noise) - self._measured_features
            floors["mel"] = change.square().flatten(1).sum(1)
            floors["both"] = floors["mel"] + self._worth * floors["waveform"]
        return floors
