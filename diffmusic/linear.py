"""Linear operators: convolution, and the regularised inversion of whatever has an adjoint."""

from __future__ import annotations

from typing import Any

import torch
from scipy.fft import next_fast_len
from torch import Tensor


def convolved(x: Tensor, h: Tensor, transposed: bool = False) -> Tensor:
    """``h * x`` over the last axis, cut to the length of ``x``; h: (taps,). transposed: the adjoint of that, the
    correlation ``sum_k h[k] x[n + k]``."""
    # Of a prime length, minutes would take four times as long and twice the memory.
    size = next_fast_len(x.shape[-1] + len(h) - 1, real=True)
    response = torch.fft.rfft(h, size)
    product = torch.fft.rfft(x, size) * (response.conj() if transposed else response)
    return torch.fft.irfft(product, size)[..., : x.shape[-1]]


def regularised_inverse(operator: Any, y: Tensor, near: Tensor, weight: float, iterations: int = 30) -> Tensor:
    """``argmin_x |A x - y|^2 + w |A|^2 |x - near|^2`` by conjugate gradients; ``|A|^2`` is the mean gain of ``A^T A``.

    near, and the result: (batch, channels, time); every item by itself. Each iteration takes one ``forward`` and one
    ``adjoint``. Source: M. Hestenes and E. Stiefel 1952.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return torch.linalg.vecdot(a.flatten(1), b.flatten(1)).reshape(-1, 1, 1)

    # In place: minutes of stereo are 100 MB, and the sums below would be as many copies of them.
    probe = operator.adjoint(y)
    image = operator.forward(probe)
    # The gain where there is something to invert: |A A^T y|^2 / |A^T y|^2.
    ridge = weight * dot(image, image) / dot(probe, probe).clamp(min=1e-30)
    del probe
    residual = operator.adjoint(y - operator.forward(near))
    direction, change, energy = residual.clone(), torch.zeros_like(near), dot(residual, residual)
    for _ in range(iterations):
        image = operator.forward(direction)
        step = energy / (dot(image, image) + ridge * dot(direction, direction)).clamp(min=1e-30)
        change.addcmul_(step, direction)
        residual.addcmul_(-step, operator.adjoint(image)).addcmul_(-step * ridge, direction)
        previous, energy = energy, dot(residual, residual)
        direction.mul_(energy / previous.clamp(min=1e-30)).add_(residual)
    return near + change
