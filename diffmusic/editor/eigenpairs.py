"""Principal components of a denoiser's uncertainty.

In the frame ``z_sigma = z_0 + sigma n`` the posterior covariance of the clean latent is the Jacobian of the denoiser,

    Cov[z_0 | z] = sigma^2 dD/dz

Its leading eigenvectors are found from products with vectors, ``J v = (D(z + h v) - D(z)) / h``, or with central
differences ``(D(z + h v) - D(z - h v)) / (2 h)``.

The paper iterates 50 times on ``N`` vectors and keeps the last. Here all products are kept: the best approximation
within the space that they span, by Rayleigh and Ritz (block Lanczos; Y. Saad, "Numerical methods for large eigenvalue
problems", chapter 6), is as good after a few, and its residual tells when to stop.

Source: H. Manor and T. Michaeli, "On the posterior distribution in denoising", arXiv:2309.13598; eq. 7 of
arXiv:2402.10009. The second line of eq. 9 there lacks a factor ``sqrt(abar)``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

Search = Generator[Tensor, Tensor, "Pairs"]
"""Coroutine: yields vectors, (block, dim), receives their products with a symmetric matrix, and returns ``Pairs``.

So several searches can share one batch.
"""


@dataclass(frozen=True)
class Pairs:
    """Leading eigenpairs of a matrix.

    Attributes:
        values: decreasing, (count,).
        vectors: orthonormal rows, (count, dim), float64.
        residuals: ``|A v - lambda v| / lambda_1`` of each.
        products: number of matrix products taken.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    products: int


def search(start: Tensor, count: int, products: int, tolerance: float) -> Search:
    """Search for the ``count`` leading eigenpairs of a symmetric matrix, from start vectors, (block, dim).

    The search ends after ``products`` products, or once every residual is below ``tolerance``. A block of one takes the
    fewest products, a larger one fewer calls with more vectors each. The matrix is replaced by its symmetric part,
    because the Jacobian of a guided or trained denoiser is only nearly symmetric.
    """
    width = len(start)
    block = _orthonormal(start.double(), None)
    basis, images = block[:0], block[:0]
    while True:
        basis = torch.cat([basis, block])
        images = torch.cat([images, (yield block).double()])
        small = basis @ images.T
        values, rotation = torch.linalg.eigh((small + small.T) / 2)
        chosen = rotation[:, -count:].flip(1).T
        values, vectors = values[-count:].flip(0), chosen @ basis
        errors = chosen @ images - values[:, None] * vectors
        residuals = errors.norm(dim=1) / values[0].abs().clamp(min=1e-30)
        full = len(basis) + width > min(products, basis.shape[1])
        if full or (len(residuals) == count and bool((residuals < tolerance).all())):
            break
        block = _orthonormal(images[-width:], basis)
    return Pairs(values, vectors, residuals, len(basis))


def leading(
    product: Callable[[Tensor], Tensor], start: Tensor, count: int, products: int, tolerance: float = 0.0
) -> Pairs:
    """Run ``search`` on one matrix, given as a function ``product`` from (block, dim) to the same shape."""
    running = search(start, count, products, tolerance)
    block = next(running)
    while True:
        try:
            block = running.send(product(block))
        except StopIteration as found:
            pairs: Pairs = found.value
            return pairs


def _orthonormal(rows: Tensor, basis: Tensor | None) -> Tensor:
    """Return an orthonormal basis of the rows' part outside ``basis``; done twice, because one pass leaves rounding."""
    for _ in range(2):
        if basis is not None:
            rows = rows - (rows @ basis.T) @ basis
        rows = torch.linalg.qr(rows.T).Q.T
    return rows


def matched(values: Tensor, vectors: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Sort eigenpairs, and choose their signs, to match their namesakes in ``like``, (count, dim).

    The assignment has the largest sum of ``|cos|``, so that a component keeps its meaning from one noise level to the
    next.
    """
    cosines = (like @ vectors.T).numpy()
    _, order = linear_sum_assignment(-np.abs(cosines))
    signs = np.where(cosines[np.arange(len(order)), order] < 0, -1.0, 1.0)
    return values[order], vectors[order] * torch.from_numpy(signs)[:, None]


def entropy(vectors: Tensor) -> Tensor:
    """Return the entropy over frames of components, (..., channels, frames, *rest), in nats, (...,):

        -sum_f p_f ln p_f,   p_f the share of the energy in frame f

    Latents may have ``rest`` of one dimension or none. It is large for a component that changes much of the recording.
    Source: arXiv:2402.10009, appendix D.
    """
    energy = vectors.square()
    p = energy.sum(-1).sum(-2)
    p = p / p.sum(-1, keepdim=True).clamp(min=1e-30)
    return -(p * p.clamp(min=1e-30).log()).sum(-1)
