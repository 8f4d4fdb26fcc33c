"""The contract of an operator, and its optional parts as functions."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


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
