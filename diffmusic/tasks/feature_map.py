"""Feature map ``T`` of the vocoder-mel constraint: the form in which measurements are compared."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.audio.sinc import sinc_resample
from diffmusic.prior.backbone import Backbone
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.operator import Operator, observed

# Seconds of audio that one frame of a log-mel covers.
_FRAME = 0.064


def features(operator: BoundOperator, backbone: Backbone) -> Callable[[Tensor], Tensor]:
    """Return ``T`` for an operator: maps measurements (batch, channels, ...) to (batch, ..., frames, bands).

    operator: bound to the backbone's rate, and to the excerpt.
    """
    rate = backbone.sample_rate
    measured_rate, stft = operator.measured_rate, operator.spectrogram
    if stft is not None:
        spec = MelSpec(measured_rate, stft.n_fft, stft.hop, high=min(rate, measured_rate) / 2)
        return LogMel(spec).of_magnitude
    if measured_rate == rate:
        return _around(operator.operator, backbone) if operator.has_damage else backbone.mel
    if measured_rate > rate:
        return lambda y: backbone.mel(sinc_resample(y, measured_rate, rate))
    # A measurement has no content above its Nyquist frequency: bands there would hold splatter and rounding, which
    # a logarithm makes as large as music.
    return lambda y: LogMel(MelSpec.at(measured_rate))(y.flatten(0, 1)).unflatten(0, y.shape[:2])


def _around(operator: Operator, backbone: Backbone) -> Callable[[Tensor], Tensor]:
    """Return the backbone's log-mel, with each frame weighted by the share of it that was measured.

    A frame that is mostly lost holds the logarithm of a window's tail, which swings with a few samples and would
    outweigh all the music.
    """

    def weighted(y: Tensor) -> Tensor:
        mel = backbone.mel(y)
        share = observed(operator, y.shape[-1], mel.shape[-2], round(_FRAME * backbone.sample_rate))
        return mel * share.to(mel)[:, None]

    return weighted
