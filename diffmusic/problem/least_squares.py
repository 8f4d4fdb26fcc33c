"""Linear operators: convolution, and regularised inversion of any operator with an adjoint."""

from __future__ import annotations

from typing import Protocol

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from diffmusic.audio.stft import rephased, windows_of
from diffmusic.problem.operator import HasAdjoint, Operator


class LinearOperator(Operator, HasAdjoint, Protocol):
    """Operator with its transpose."""


_WINDOW = 0.032  # seconds


def convolved(x: Tensor, h: Tensor, transposed: bool = False) -> Tensor:
    """Compute ``h * x`` over the last axis, cut to the length of ``x``; h: (taps,).

    transposed: compute the adjoint of that, the correlation ``sum_k h[k] x[n + k]``.
    """
    # At a prime length, minutes of audio would take four times the time and twice the memory.
    size = next_fast_len(x.shape[-1] + len(h) - 1, real=True)
    response = torch.fft.rfft(h, size)
    product = torch.fft.rfft(x, size) * (response.conj() if transposed else response)
    whole: Tensor = torch.fft.irfft(product, size)
    return whole[..., : x.shape[-1]]


def regularised_inverse(
    operator: LinearOperator, y: Tensor, near: Tensor, weight: float, iterations: int = 60
) -> Tensor:
    """Compute ``argmin_x |A x - y|^2 + w |A|^2 |x - near|^2`` by conjugate gradients.

    ``|A|^2`` is the mean gain of ``A^T A``. Each iteration takes one ``forward`` and one ``adjoint``.

    Args:
        near: (batch, channels, time), as the result; every item is solved separately.

    Source: M. Hestenes and E. Stiefel 1952.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).flatten(1).sum(1).reshape(-1, 1, 1)

    residual = operator.adjoint(y - operator.forward(near))
    probe = operator.adjoint(y)
    # The gain where there is something to invert: |A A^T y|^2 / |A^T y|^2.
    ridge = weight * dot(operator.forward(probe), operator.forward(probe)) / dot(probe, probe).clamp(min=1e-30)
    direction, change, energy = residual, near * 0, dot(residual, residual)
    for _ in range(iterations):
        image = operator.forward(direction)
        curvature = dot(image, image) + ridge * dot(direction, direction)
        step = energy / curvature.clamp(min=1e-30)
        change = change + step * direction
        residual = residual - step * (operator.adjoint(image) + ridge * direction)
        previous, energy = energy, dot(residual, residual)
        direction = residual + energy / previous.clamp(min=1e-30) * direction
    return near + change


def informed_inverse(operator: LinearOperator, y: Tensor, estimate: Tensor, weight: float, sample_rate: int) -> Tensor:
    """Compute ``argmin_x |A x - y|^2 + w |A|^2 |x - E|^2``, ``E`` made from an estimate and the measurement:

        F = argmin_x |A x - y|^2 + w |A|^2 |x|^2         the measurement alone: weak where A lets little through
        E = ISTFT(|STFT(estimate)| e^{i arg STFT(F + w estimate)})

    The estimate of a prior has the magnitudes of the music, and phases that its vocoder invented. ``F`` has the right
    phases and magnitudes that are too low, and nothing where ``A`` lets nothing through; there ``w`` leaves the
    estimate its phases. Shapes are (batch, channels, time), as in ``regularised_inverse``.
    """
    alone = regularised_inverse(operator, y, torch.zeros_like(estimate), weight)
    near = rephased(estimate, alone + weight * estimate, windows_of(_WINDOW, sample_rate))
    return regularised_inverse(operator, y, near, weight)
