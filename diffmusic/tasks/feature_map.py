"""What of a measurement is compared: ``T`` of the vocoder-mel constraint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from diffmusic import problem as problems
from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.audio.sinc import sinc_resample
from diffmusic.prior.backbone import Backbone

# Seconds that a frame of a log-mel is taken to see.
_FRAME = 0.064


def features(operator: Any, backbone: Backbone) -> Callable[[Tensor], Tensor]:
    """``T``, from measurements (batch, channels, ...) to (batch, ..., frames, bands), by what the operator measures.

    operator: bound to the backbone's rate, and to the excerpt where it has ``damage``.
    """
    rate = backbone.sample_rate
    measured_rate = getattr(operator, "measured_rate", rate)
    if hasattr(operator, "stft"):
        stft = operator.stft
        spec = MelSpec(measured_rate, stft.n_fft, stft.hop, high=min(rate, measured_rate) / 2)
        return LogMel(spec).of_magnitude
    if measured_rate == rate:
        return _around(operator, backbone) if hasattr(operator, "damage") else backbone.mel
    if measured_rate > rate:
        return lambda y: backbone.mel(sinc_resample(y, measured_rate, rate))
    # Above its own Nyquist frequency a measurement says nothing: bands there would hold splatter and rounding,
    # which a logarithm makes as large as music.
    return lambda y: LogMel(MelSpec.at(measured_rate))(y.flatten(0, 1)).unflatten(0, y.shape[:2])


def _around(operator: Any, backbone: Backbone) -> Callable[[Tensor], Tensor]:
    """The backbone's log-mel, each frame weighted by how much of it was measured. Of one that is mostly lost there
    is the logarithm of a window's tail, which swings with a few samples and would outweigh all the music."""

    def weighted(y: Tensor) -> Tensor:
        mel = backbone.mel(y)
        share = problems.observed(operator, y.shape[-1], mel.shape[-2], round(_FRAME * backbone.sample_rate))
        return mel * share.to(mel)[:, None]

    return weighted
