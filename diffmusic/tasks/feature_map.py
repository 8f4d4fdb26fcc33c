"""What of a measurement is compared: ``T`` of the vocoder-mel constraint."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.audio.sinc import sinc_resample
from diffmusic.prior.backbone import Backbone
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.operator import Operator, observed

# Seconds that a frame of a log-mel is taken to see.
_FRAME = 0.064


def features(operator: BoundOperator, backbone: Backbone) -> Callable[[Tensor], Tensor]:
    """``T``, from measurements (batch, channels, ...) to (batch, ..., frames, bands), by what the operator measures.

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
    # Above its own Nyquist frequency a measurement says nothing: bands there would hold splatter and rounding,
    # which a logarithm makes as large as music.
    return lambda y: LogMel(MelSpec.at(measured_rate))(y.flatten(0, 1)).unflatten(0, y.shape[:2])


def _around(operator: Operator, backbone: Backbone) -> Callable[[Tensor], Tensor]:
    """The backbone's log-mel, each frame weighted by how much of it was measured. Of one that is mostly lost there
    is the logarithm of a window's tail, which swings with a few samples and would outweigh all the music."""

    def weighted(y: Tensor) -> Tensor:
        mel = backbone.mel(y)
        share = observed(operator, y.shape[-1], mel.shape[-2], round(_FRAME * backbone.sample_rate))
        return mel * share.to(mel)[:, None]

    return weighted
