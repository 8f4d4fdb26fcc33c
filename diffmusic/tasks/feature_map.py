"""Feature map ``T`` of the vocoder-mel constraint: the form in which measurements are compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor

from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.audio.sinc import sinc_resample
from diffmusic.prior.backbone import Backbone
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.features import LogFeatures
from diffmusic.problem.operator import Operator, observed

# Seconds of audio that one frame of a log-mel covers.
_FRAME = 0.064
# Part of a band that resampling a file leaves as it was.
_PASSED = 0.91


@runtime_checkable
class HasLogMel(Protocol):
    @property
    def log_mel(self) -> LogMel:
        """The log-mel that ``mel`` computes of each channel."""
        ...


def features(operator: BoundOperator, backbone: Backbone, rate: int | None = None) -> LogFeatures:
    """Return ``T`` for an operator: maps measurements (batch, channels, ...) to (batch, ..., frames, bands).

    operator: bound to the backbone's rate, and to the excerpt.
    rate: of the recording, Hz; what it cannot hold is not compared.
    """
    own = backbone.sample_rate
    measured_rate, stft = operator.measured_rate, operator.spectrogram
    if stft is not None:
        log_mel = LogMel(MelSpec(measured_rate, stft.n_fft, stft.hop, high=min(own, measured_rate) / 2))
        return LogFeatures(log_mel.of_magnitude, lambda y: y, log_mel.of_magnitude)
    if measured_rate == own:
        made = _of(backbone) if rate is None or rate >= own else _mel(_below(own, rate))
        return dataclasses.replace(made, weights=_share(operator.operator, own) if operator.has_damage else None)
    if measured_rate > own:
        return _of(backbone, lambda y: sinc_resample(y, measured_rate, own))
    # A measurement has no content above its Nyquist frequency: bands there would hold splatter and rounding, which
    # a logarithm makes as large as music.
    return _mel(MelSpec.at(measured_rate))


def _of(backbone: Backbone, at: Callable[[Tensor], Tensor] = lambda y: y) -> LogFeatures:
    """The backbone's log-mel of what is brought to its rate."""
    made = _mel(backbone.log_mel.spec, at) if isinstance(backbone, HasLogMel) else LogFeatures(backbone.mel)
    return dataclasses.replace(made, logs=lambda y: backbone.mel(at(y)))


def _mel(spec: MelSpec, at: Callable[[Tensor], Tensor] = lambda y: y) -> LogFeatures:
    log_mel = LogMel(spec)

    def each(transform: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda y: transform(at(y).flatten(0, 1)).unflatten(0, y.shape[:2])

    return LogFeatures(each(log_mel), each(lambda y: log_mel.spectrum(y).abs()), log_mel.of_magnitude)


def _below(own: int, rate: int) -> MelSpec:
    """The log-mel, at the prior's rate, of a recording of a lower one: bands up to what its resampling passes."""
    spec, high = MelSpec.at(own), _PASSED * rate / 2
    return dataclasses.replace(spec, high=high, bands=min(64, max(1, int(spec.n_fft * high / own / 4))))


def _share(operator: Operator, rate: int) -> Callable[[Tensor, int], Tensor]:
    """Return the weights of the frames of a measurement with gaps: the share of each that was measured.

    A frame that is mostly lost holds the logarithm of a window's tail, which swings with a few samples and would
    outweigh all the music.
    """
    return lambda y, frames: observed(operator, y.shape[-1], frames, round(_FRAME * rate))
