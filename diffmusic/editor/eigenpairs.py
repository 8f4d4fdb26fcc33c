"""Principal components of a denoiser's uncertainty.

In the frame ``z_sigma = z_0 + sigma n`` the posterior covariance of the clean latent is the Jacobian of the denoiser,

    Cov[z_0 | z] = sigma^2 dD/dz

Its leading eigenvectors are found from products with vectors, ``J v = (D(z + h v) - D(z)) / h``, or with central
differences ``(D(z + h v) - D(z - h v)) / (2 h)``.

The paper iterates 50 times on ``N`` vectors and keeps the last. Here all products are kept: the best approximation
within the space that they span (Arnoldi with Schur vectors; Y. Saad, "Numerical methods for large eigenvalue problems",
chapter 6), is as good after a few, and its residual tells when to stop.

Source: H. Manor and T. Michaeli, "On the posterior distribution in denoising", arXiv:2309.13598; eq. 7 of
arXiv:2402.10009. The second line of eq. 9 there lacks a factor ``sqrt(abar)``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

Search = Generator[Tensor, Tensor, "Pairs"]
"""Coroutine: yields vectors, (block, dim), receives their products with a matrix, and returns ``Pairs``.

So several searches can share one batch.
"""


@dataclass(frozen=True)
class Pairs:
    """Leading eigenpairs of a matrix.

    Attributes:
        values: decreasing, (count,).
        vectors: orthonormal rows, (count, dim), in the precision of the start.
        residuals: ``|A v - V V^T A v| / lambda_1`` of each, with all of them in ``V``: the part of the product that
            leaves their space; of a symmetric matrix that is ``|A v - lambda v| / lambda_1``.
        products: number of matrix products taken.
        beyond: the eigenvalue after the last, or rather its best approximation from below, a scalar; 0 if unknown.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    products: int
    beyond: Tensor = field(default_factory=lambda: torch.zeros(()))


def search(start: Tensor, count: int, products: int, tolerance: float) -> Search:
    """Search for the ``count`` leading eigenpairs of a matrix, from start vectors, (block, dim).

    The search ends after ``products`` products, or once every residual is below ``tolerance``. A block of one takes the
    fewest products, a larger one fewer calls with more vectors each. The Jacobian of a guided or trained denoiser is
    only nearly symmetric: what is found is the space that it maps into itself with the largest eigenvalues (leading
    Schur vectors, which the paper's iteration converges to as well), and within that space the eigenpairs of the
    symmetric part.
    """
    width = len(start)
    block = _orthonormal(start, None)
    # Room for all at once: a long recording has millions of elements a row.
    rooms = [start.new_empty(max(width, min(products, start.shape[1])), start.shape[1]) for _ in range(2)]
    taken = 0
    while True:
        image = (yield block).to(block)
        for room, rows in zip(rooms, (block, image), strict=True):
            room[taken : taken + width] = rows
        taken += width
        basis, images = (room[:taken] for room in rooms)
        product = (basis @ images.T).double()
        space, beyond = _leading_space(product, count)
        inner = space @ product @ space.T
        values, rotation = torch.linalg.eigh((inner + inner.T) / 2)
        chosen = (rotation.flip(1).T @ space).to(basis)
        values, vectors, mapped = values.flip(0), chosen @ basis, chosen @ images
        outside = mapped - (mapped @ vectors.T) @ vectors
        residuals = outside.norm(dim=1) / values[0].abs().clamp(min=1e-30)
        full = len(basis) + width > min(products, basis.shape[1])
        if full or (len(residuals) == count and bool((residuals < tolerance).all())):
            break
        block = _orthonormal(images[-width:], basis)
    return Pairs(values, vectors, residuals, len(basis), beyond)


def _leading_space(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return orthonormal rows that span the invariant space of a small matrix with the ``count`` largest eigenvalues,
    by their real parts, and the next one's real part (0 where there is none)."""
    values, vectors = np.linalg.eig(matrix.numpy())
    order = np.argsort(-values.real, kind="stable")
    # A pair of complex ones spans what the real and the imaginary part of its vector span.
    parts = [vectors[:, n].imag if values[n].imag < 0 else vectors[:, n].real for n in order[:count]]
    space = torch.from_numpy(np.linalg.qr(np.stack(parts, 1))[0].T.copy())
    return space, matrix.new_tensor(values[order[count]].real if len(values) > count else 0.0)


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


def matched(pairs: Pairs, like: Tensor) -> Pairs:
    """Sort eigenpairs, and choose their signs, to match their namesakes in ``like``, (count, dim).

    The assignment has the largest sum of ``|cos|``, so that a component keeps its meaning from one noise level to the
    next.
    """
    cosines = (like @ pairs.vectors.T).numpy()
    _, order = linear_sum_assignment(-np.abs(cosines))
    signs = np.where(cosines[np.arange(len(order)), order] < 0, -1.0, 1.0)
    vectors = pairs.vectors[order] * torch.from_numpy(signs).to(pairs.vectors)[:, None]
    return replace(pairs, values=pairs.values[order], vectors=vectors, residuals=pairs.residuals[order])


def gaps(values: Tensor, beyond: Tensor | None = None) -> Tensor:
    """Return the distance of each eigenvalue, (levels, count), from the nearest other one of its level.

    Args:
        values: Eigenvalues in any order.
        beyond: The largest of the rest, (levels,); without it the last one's neighbour below is unknown.
    """
    every = values if beyond is None else torch.cat([values, beyond[:, None]], 1)
    apart = (values[:, :, None] - every[:, None]).abs()
    apart[:, range(values.shape[1]), range(values.shape[1])] = float("inf")
    return apart.amin(2)


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
