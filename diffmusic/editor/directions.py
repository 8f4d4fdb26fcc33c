"""Directions of posterior variation of a recording: found once, saved to a file, followed at any strength.

At each noise level ``sigma_i`` of a recording's path they are the leading eigenvectors ``v`` and eigenvalues ``lambda``
of ``Cov[z_0 | z_i]`` (``diffmusic.editor.eigenpairs``). To follow them, the latent code is replayed with a drift (H.
Manor and T. Michaeli, arXiv:2402.10009, eq. 5, divided by ``sqrt(abar)``):

    z_{i+1} = m(z_i) + c_i gamma sum_j w_j sqrt(lambda_{j|i}) v_{j|i'} + r_i,   c_i = 1 - k / sigma_i

with ``i' = i``, or with one fixed level ``i'`` for all steps; the eigenvalue is that of the current level either way.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.editor.eigenpairs import Pairs, Search, entropy, gaps, matched, search
from diffmusic.editor.inversion import cleaned, independent_points
from diffmusic.errors import InputError
from diffmusic.solver.noise import generator

FORMAT = "diffmusic directions 1"


@dataclass(frozen=True)
class Directions:
    """Leading eigenvectors and eigenvalues of the posterior covariance at each noise level.

    Attributes:
        sigmas: Noise levels, decreasing, (levels,).
        vectors: Eigenvectors of unit norm, (levels, components, channels, frames, ...).
        values: Eigenvalues, (levels, components).
        residuals: Residuals of the eigenpairs (``diffmusic.editor.eigenpairs``), (levels, components).
        beyond: The eigenvalue after the last component's, or rather its best approximation from below, (levels,).
        about: Recording and model, and the settings of the search.
    """

    sigmas: Tensor
    vectors: Tensor
    values: Tensor
    residuals: Tensor
    beyond: Tensor | None = None
    about: dict[str, Any] = dataclasses.field(default_factory=dict)

    def encode(self) -> bytes:
        """Encode as the bytes of a safetensors file."""
        names = ("vectors", "values", "residuals", *(["beyond"] if self.beyond is not None else []))
        tensors = {name: getattr(self, name).float().contiguous() for name in names}
        about = {"format": FORMAT, "about": json.dumps(self.about)}
        return safetensors.torch.save({**tensors, "sigmas": self.sigmas.double()}, about)

    @classmethod
    def load(cls, path: Path) -> Directions:
        """Read a file made by ``encode``. Raises InputError for any other file."""
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                if about.get("format") != FORMAT:
                    raise InputError(f"{path} holds no directions that this version understands")
                known = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                parts = {name: known[name] for name in ("sigmas", "vectors", "values", "residuals")}
                return cls(**parts, beyond=known.get("beyond"), about=json.loads(about["about"]))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except (OSError, SafetensorError, KeyError) as error:
            raise InputError(f"{path} holds no directions: {' '.join(str(error).split())}") from None

    @property
    def entropy(self) -> Tensor:
        """Entropy over time of each eigenvector, nats, (levels, components)."""
        return entropy(self.vectors.flatten(4) if self.vectors.ndim > 4 else self.vectors[..., None])

    @property
    def gaps(self) -> Tensor:
        """Distance of each eigenvalue from the nearest other one, (levels, components)."""
        return gaps(self.values, self.beyond)

    @property
    def angles(self) -> Tensor:
        """Estimate the largest angle between each direction and the true eigenvector, degrees, (levels, components):

            sin(angle) <= residual lambda_1 / gap                C. Davis and W. M. Kahan, 1970

        The gap is that of the values found, so the estimate is too small before those have settled (residuals of some
        tenths). 90 says that nothing is known. Where eigenvalues nearly coincide, any mixture of their directions is as
        good, and the angle is large though the residual is small.
        """
        error = self.residuals * self.values.amax(1, keepdim=True)
        return (error / self.gaps.clamp(min=1e-30)).clamp(max=1).asin().rad2deg()

    def unfinished(self, tolerance: float) -> list[int]:
        """Levels at which a residual is above the tolerance."""
        return torch.nonzero((self.residuals > tolerance).any(1)).flatten().tolist()

    def nearest(self, sigma: float) -> int:
        """Return the index of the level nearest to ``sigma``, in log sigma."""
        return int((self.sigmas.log() - np.log(sigma)).abs().argmin())

    def deviations(self, sigma: float) -> Tensor:
        """Interpolate ``sqrt(lambda)`` of every component at ``sigma``, in log sigma, (components,)."""
        at = self.sigmas.log().numpy()[::-1]
        roots = self.values.clamp(min=0).sqrt().double().numpy()[::-1]
        return torch.tensor([np.interp(np.log(sigma), at, column) for column in roots.T])


def find(
    task: Edit,
    components: int,
    products: int = 30,
    tolerance: float = 0.02,
    step: float = 0.1,
    central: bool = False,
    seed: int = 0,
) -> Directions:
    """Find the directions at every level of the path of ``task``, under its source's text.

    Items share their directions, so that the channels of a stereo recording move together and its image stays. Levels
    are searched in groups, as many as a batch of the network holds; each group starts from the directions of the last.
    With regions, directions are zero outside of them.

    Args:
        task: The recording, its text and its noise levels.
        components: Number of directions.
        products: Largest number of Jacobian-vector products at a level. Each takes one pass of the network, two if
            ``central``; the level itself takes one more.
        tolerance: Residual at which the search of a level ends.
        step: Length ``h`` of the finite differences. In float32, on a network of 8,192 dimensions, 0.001 errs by 7 %,
            0.1 by 0.2 %; central differences by 0.03 %.
        central: Take central differences.
        seed: Of the first vector.
    """
    items, shape = len(task.z0), task.z0.shape[1:]
    mask = torch.ones_like(task.z0[0])
    if task.regions:
        union = torch.stack([each.mask for each in task.regions]).amax(0).to(mask)
        mask = mask * union.reshape(1, -1, *[1] * (mask.ndim - 2))
    point, sigmas = independent_points(task), task.sigmas[:-1]
    width = max(1, (task.denoise.batch or 1) // (items * len(task.source.passes)))
    start = mask.flatten().cpu() * torch.randn(mask.numel(), generator=generator(seed, 7), dtype=torch.float32)
    start = start.to(task.z0.dtype)
    # Kept in single precision, because a long recording has millions of elements a direction and level.
    vectors = torch.empty(len(sigmas), components, *shape)
    values, residuals, beyond = (torch.empty(len(sigmas), *size) for size in ((components,), (components,), ()))
    last: Pairs | None = None
    spent = 0
    for first in range(0, len(sigmas), width):
        levels = range(first, min(len(sigmas), first + width))
        path = torch.stack([point(i) for i in levels])
        centres = {} if central else dict(zip(levels, cleaned(task, path, [sigmas[i] for i in levels]), strict=True))
        running: dict[int, Search] = {i: search(start[None], components, products, tolerance) for i in levels}
        blocks = {i: next(each) for i, each in running.items()}
        pairs: dict[int, Pairs] = {}
        while blocks:
            directions = torch.cat([*blocks.values()]).reshape(-1, 1, *shape).to(task.z0) * mask
            order = [i for i, block in blocks.items() for _ in block]
            points = path[[i - first for i in order]]
            ahead = cleaned(task, points + step * directions, [sigmas[i] for i in order])
            if central:
                behind = cleaned(task, points - step * directions, [sigmas[i] for i in order])
                change = (ahead - behind) / (2 * step)
            else:
                change = (ahead - torch.stack([centres[i] for i in order])) / step
            images = (mask * change.mean(1)).flatten(1).cpu().split([len(block) for block in blocks.values()])
            following = {}
            for (i, _), image in zip(blocks.items(), images, strict=True):
                try:
                    following[i] = running[i].send(image)
                except StopIteration as ended:
                    pairs[i] = ended.value
            blocks = following
        for i in levels:
            last = pairs[i] if last is None else matched(pairs[i], last.vectors)
            vectors[i] = last.vectors.unflatten(1, shape)
            values[i], beyond[i] = last.values * sigmas[i] ** 2, last.beyond * sigmas[i] ** 2
            residuals[i] = last.residuals
            spent += last.products
        assert last is not None
        start = last.vectors.sum(0) + 0.1 * torch.nn.functional.normalize(start, dim=0)
        task.tick((first + len(levels)) / len(sigmas))
    return Directions(
        torch.tensor(sigmas, dtype=torch.float64),
        vectors,
        values,
        residuals,
        beyond,
        {"products": spent, "step": step, "central": central, "tolerance": tolerance},
    )
