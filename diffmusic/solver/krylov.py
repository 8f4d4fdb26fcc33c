"""Linear systems that are known by their products alone, each item of a batch by itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from diffmusic.solver.data_consistency import norms


def least_residual(product: Callable[[Tensor], tuple[Tensor, Tensor]], target: Tensor, iterations: int) -> Tensor:
    """``P u`` for the ``u`` of the Krylov space ``span(b, M b, ..., M^(k-1) b)`` with the least ``|b - M u|``.

    product: maps ``v`` to ``(M v, P v)``, both (batch, ...); one call an iteration. target: ``b``, (batch, ...).
    iterations: ``k``. ``M`` needs no symmetry, and another iteration never makes the residual longer, where conjugate
    gradients would leave their path. An item whose target is 0 gets 0. Source: Y. Saad and M. Schultz, "GMRES", SIAM
    J. Sci. Stat. Comput. 7(3), 1986; the least squares are solved over the products themselves, for ``k`` is small.
    """
    tiny = torch.finfo(target.dtype).tiny
    basis = [target / norms(target).clamp(min=tiny)]
    images, parts = [], []
    for _ in range(iterations):
        image, part = product(basis[-1])
        images.append(image)
        parts.append(part)
        rest = image
        for _ in range(2):  # once more, because rounding leaves the first difference skewed
            for each in basis:
                rest = rest - (rest * each).flatten(1).sum(1).reshape(norms(rest).shape) * each
        length = norms(rest)
        # Where the space is exhausted the next direction is nothing, and has no part in the solution.
        basis.append(torch.where(length > 1e-6 * norms(image), rest / length.clamp(min=tiny), 0.0))
    # On the CPU: not every accelerator has double precision.
    columns = torch.stack([image.flatten(1) for image in images], dim=2).cpu().double()
    weights = torch.linalg.pinv(columns, rtol=1e-9) @ target.flatten(1).cpu().double()[..., None]
    solved = torch.stack([part.flatten(1) for part in parts], dim=2) @ weights.to(target)
    result: Tensor = solved[..., 0].reshape(target.shape)
    return result
