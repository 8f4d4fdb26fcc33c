"""A noisy measurement that is to be put back: each bin by its signal-to-noise ratio, the rest from the estimate."""

from __future__ import annotations

import torch
from torch import Tensor

from diffmusic.audio.noise_spectrum import NoiseSpectrum
from diffmusic.audio.stft import STFT, inverse, spectrum, windows_of
from diffmusic.parameters import bind
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.chain import chain, put_back
from diffmusic.problem.noise import gain
from diffmusic.problem.noise_part import around, forward

_WINDOW = 0.064  # seconds
_LEAST = 0.1  # of a bin's magnitude that spectral subtraction leaves: silence would be farther from any music


def finished(
    bound: BoundOperator, estimate: Tensor, y: Tensor, noise: NoiseSpectrum | None, highest: float | None = None
) -> Tensor:
    """Put the observed part back into an estimate, less its noise (``shrunk``); as it is where none is told.

    In a chain the noise is taken off where it stands, once what happened to it afterwards, such as clipping, is undone.
    """
    if noise is None:
        return bound.finish(estimate, y)
    before, after = around(bound.operator)
    if not after or bound.spectrogram:
        return bound.finish(estimate, shrunk(bound, estimate, y, noise, highest))
    part = chain(*before) if len(before) > 1 else before[0]
    part = bind(part, sample_rate=bound.rate, measured_rate=bound.measured_rate)
    noisy = BoundOperator(part, bound.rate, bound.measured_rate)
    undone = put_back(after, forward(before, estimate), y)
    return noisy.finish(estimate, shrunk(noisy, estimate, undone, noise, highest))


def shrunk(
    bound: BoundOperator, estimate: Tensor, y: Tensor, noise: NoiseSpectrum, highest: float | None = None
) -> Tensor:
    """Return what of a measurement ``y = A x + n`` to put back into an estimate ``E``, of the shape of ``y``:

        |Z| = w |D| + (1 - w) |P|,   w = |S|^2 / (|S|^2 + E |N|^2),   P = STFT(A E)

    with the phases of the measurement. ``|D|`` is what spectral subtraction leaves of it (``diffmusic.problem.noise``),
    20 dB less at most, and ``|S|``, what the signal's magnitude is likely to be, the larger of ``|D|`` and ``|P|``.
    Where there is no noise, ``Z = Y``; where there is nothing else, it is what the estimate would have been measured
    as.

    Args:
        bound: The operator at the rate of the estimate.
        estimate: (items, channels, time).
        y: Its measurement, (items, channels, ...).
        noise: Of the recording that ``y`` was measured of, each channel's.
        highest: Hz; above it the estimate says nothing, and there spectral subtraction stands for it.
    """
    predicted = bound.operator.forward(estimate)[..., : y.shape[-1]]
    stft = bound.spectrogram
    if stft is not None:
        return _blend(y, predicted, _power(noise, stft, y), stft, highest)
    settings = windows_of(_WINDOW, bound.measured_rate)
    if y.shape[-1] < settings.n_fft:
        return y
    rows = []
    # One by one: the bins of minutes are gigabytes.
    for row, ours, power in zip(y.flatten(0, 1), predicted.flatten(0, 1), noise.power(settings), strict=True):
        bins = spectrum(row, settings)
        level = _blend(bins.abs(), spectrum(ours, settings).abs(), power.to(row), settings, highest)
        rows.append(inverse(torch.polar(level, bins.angle()), settings, y.shape[-1]))
    out = torch.stack(rows).reshape(y.shape)
    return bound.measurement(out) if bound.has_place else out


def _power(noise: NoiseSpectrum, settings: STFT, y: Tensor) -> Tensor:
    """``E |N|^2`` of magnitudes, (items, channels, 1, bins)."""
    return noise.power(settings).to(y).reshape(*y.shape[:2], 1, -1)


def _blend(y: Tensor, predicted: Tensor, noise: Tensor, settings: STFT, highest: float | None) -> Tensor:
    subtracted = y * gain(y.square(), noise).clamp(min=_LEAST)
    if highest is not None:
        hertz = torch.linspace(0, settings.sample_rate / 2, y.shape[-1], dtype=torch.float64)
        predicted = torch.where((hertz < highest).to(y.device), predicted, subtracted)
    signal = torch.maximum(predicted, subtracted).square()
    weight = signal / (signal + noise).clamp(min=torch.finfo(y.dtype).tiny)
    return weight * subtracted + (1 - weight) * predicted
