"""The noise that a run is told of: white by its deviation, or coloured by a stretch of the recording."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from diffmusic.audio.noise_spectrum import NoiseSpectrum
from diffmusic.audio.stereo import StereoTransform
from diffmusic.errors import InputError
from diffmusic.parameters import span
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.noise_part import deviation, measured_deviation
from diffmusic.problem.operator import is_noisy, kept
from diffmusic.tasks.settings import RestoreSettings

AUTO = "auto"
"""What stands for a stretch where the noise is to be estimated from all of the recording."""


def told_noise(
    settings: RestoreSettings,
    bound: BoundOperator,
    y: Tensor,
    recording: np.ndarray | None,
    stereo: StereoTransform | None = None,
) -> NoiseSpectrum | None:
    """Return the noise of a measurement; None where none is told.

    Args:
        settings: They tell of it.
        bound: The operator at the rate of the measurement.
        y: The measurement, (1, channels, ...).
        recording: What magnitudes were taken of, (channels, time); None for an array.
        stereo: Of which components the noise is wanted; by default of the channels.

    Raises:
        InputError: The stretch is none, or lies outside the recording.
    """
    rate, given = bound.measured_rate, settings.noise_from
    std = settings.noise_std or measured_deviation(bound.operator, deviation(bound.operator))
    if given is None and is_noisy(bound.operator) and not std:
        given = AUTO
    if given is None:
        return NoiseSpectrum.white(std, y.shape[1], rate) if std else None
    if bound.spectrogram is None:
        audio = (stereo.split(y[0]) if stereo else y[0]).numpy()
    elif recording is not None:
        audio = recording
    else:
        raise InputError("`noise_from` needs a recording; of magnitudes give `noise_std`")
    samples = audio.shape[-1]
    there = kept(bound.operator, samples).bool().numpy() if bound.has_damage else np.ones(samples, dtype=bool)
    if given.strip() == AUTO:
        return NoiseSpectrum.least(audio[:, there], rate)
    try:
        start, stop = span(given, rate)
    except ValueError as error:
        raise InputError(f"`noise_from`: {error}, or {AUTO} (got {given!r})") from None
    if not 0 <= start < stop <= audio.shape[-1] / rate + 1 / rate:
        lasts = f"{audio.shape[-1] / rate:.3f} s"
        raise InputError(f"`noise_from` {start:g}:{stop:g} is no stretch of the recording, which lasts {lasts}")
    stretch = slice(round(start * rate), round(stop * rate))
    return NoiseSpectrum.of_stretch(audio[:, stretch][:, there[stretch]], rate)
