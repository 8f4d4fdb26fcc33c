"""Prior and problem whose posterior is known in closed form, to measure solvers against."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.prior.backbone import Costs
from diffmusic.prior.prior import Prior
from diffmusic.problem.least_squares import LinearOperator
from diffmusic.problem.problem import Problem
from diffmusic.solver.noise import generator
from diffmusic.solver.sampling import iterate


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """Gaussian prior, a backbone without network whose latent is the audio itself; its denoiser is exact:

        z_0 ~ N(mean, covariance),   E[z_0 | z] = mean + C (C + sigma^2 I)^-1 (z - mean)

    Its "mel" is the waveform, so that the vocoder-mel misfit is linear too.

    Attributes:
        mean: (dim,), float64.
        covariance: ``C``, (dim, dim), float64.
    """

    mean: Tensor
    covariance: Tensor
    sample_rate: int = 16000
    channels: int = 1
    excerpt_seconds: float = 1.0

    @property
    def device(self) -> torch.device:
        return self.mean.device

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(self.covariance)
        return values, vectors

    def sigmas(self, steps: int) -> Tensor:
        """Return levels, geometric from 80 to 0.005, then 0."""
        levels = torch.logspace(torch.log10(torch.tensor(80.0)), torch.log10(torch.tensor(0.005)), steps)
        return torch.cat([levels.double(), torch.zeros(1, dtype=torch.float64)])

    def latent_shape(self, samples: int) -> tuple[int, ...]:
        return (1, samples)

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        values, vectors = self._eigen
        shrink = (vectors * (values / (values + sigma**2))) @ vectors.T
        return self.mean + (z - self.mean) @ shrink

    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, z: Tensor, samples: int) -> Tensor:
        return z[..., :samples]

    def mel(self, x: Tensor) -> Tensor:
        return x

    def embed(self, prompt: str | None) -> None:
        return None

    def describe(self) -> dict[str, Any]:
        return {"name": "gaussian", "sample_rate": self.sample_rate}


@dataclass(frozen=True, eq=False)
class MelPrior(GaussianPrior):
    """The same with a log-mel of its own, for what depends on the logarithm: floors, levels, noise."""

    @cached_property
    def log_mel(self) -> LogMel:
        return LogMel(MelSpec.at(self.sample_rate))

    def mel(self, x: Tensor) -> Tensor:
        logs: Tensor = self.log_mel(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return logs


@dataclass(frozen=True, eq=False)
class Matrix:
    """Operator ``y = M x`` along time; matrix: (measurements, time)."""

    matrix: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.matrix.T

    def adjoint(self, y: Tensor) -> Tensor:
        return y @ self.matrix


@dataclass(frozen=True)
class Hole:
    """``y = m x`` with the middle lost: ``m`` is 0 from ``start`` to ``stop``, samples, and 1 elsewhere."""

    start: int
    stop: int

    def damage(self, samples: int) -> list[tuple[int, int]]:
        return [(self.start, self.stop)]

    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        y[..., self.start : self.stop] = 0
        return y

    adjoint = forward


@dataclass(frozen=True, eq=False)
class Oracle:
    """A Gaussian prior, measurements of one draw from it, and the exact posterior.

        mean = m + K (y - A m),   covariance = C - K A C,   K = C A^T (A C A^T)^-1

    The measurement has no noise.
    """

    prior: GaussianPrior
    operator: LinearOperator
    measured: Tensor
    mean: Tensor
    covariance: Tensor

    @classmethod
    def make(cls, dim: int = 32, rows: int = 16, seed: int = 0, loudness: float = 0.0) -> Oracle:
        """``rows`` orthonormal measurements under a prior with neighbouring samples correlated by 0.8 and a mean that
        differs from zero. loudness: variance of what moves all samples together, as the level of an excerpt does."""
        prior, x, draw = _drawn(dim, seed, loudness)
        square = torch.randn(dim, dim, generator=draw, dtype=torch.float64)
        a = torch.linalg.qr(square).Q[:rows]
        return cls(prior, Matrix(a), a @ x, *_posterior(prior, a, a @ x))

    @classmethod
    def with_hole(cls, dim: int = 32, lost: int = 16, seed: int = 0, loudness: float = 0.0) -> Oracle:
        """The same prior, and all samples measured but ``lost`` in the middle."""
        prior, x, _ = _drawn(dim, seed, loudness)
        hole = Hole((dim - lost) // 2, (dim + lost) // 2)
        a = torch.eye(dim, dtype=torch.float64)[hole.forward(torch.ones(dim)) > 0]
        return cls(prior, hole, hole.forward(x), *_posterior(prior, a, a @ x))

    def draw(self, solver: Any, steps: int = 100, count: int = 1024, seed: int = 0) -> Tensor:
        """Draw ``count`` estimates with a solver, (count, dim)."""
        problem = Problem(self.operator, self.measured.expand(count, 1, -1), features=self.prior.mel)
        prior = Prior(self.prior, len(self.mean), Costs())
        sigmas = self.prior.sigmas(steps).tolist()
        generators = [generator(seed, index) for index in range(count)]
        *_, (_, state) = iterate(solver, problem, prior, sigmas, generators)
        return prior.decode(state.z)[:, 0]

    def mean_error(self, estimates: Tensor) -> float:
        """Return the relative error of the estimates' mean:

            ||average - mean|| / ||mean - prior mean||

        0 is exact, 1 is as if nothing had been measured.
        """
        return float((estimates.mean(0) - self.mean).norm() / (self.mean - self.prior.mean).norm())

    def spread_ratio(self, estimates: Tensor) -> float:
        """Return the estimates' standard deviation over the posterior's, averaged as variance over all samples."""
        return float((estimates.var(0).sum() / self.covariance.diagonal().sum()).sqrt())


def _drawn(dim: int, seed: int, loudness: float) -> tuple[GaussianPrior, Tensor, torch.Generator]:
    """A prior, a draw from it, and the generator that made it."""
    draw = torch.Generator().manual_seed(seed)
    place = torch.arange(dim, dtype=torch.float64)
    covariance = 0.8 ** (place[:, None] - place).abs() + loudness / dim
    prior = GaussianPrior(torch.sin(place / 3), covariance)
    root = torch.linalg.cholesky(covariance)
    return prior, prior.mean + root @ torch.randn(dim, generator=draw, dtype=torch.float64), draw


def _posterior(prior: GaussianPrior, a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance given ``y = a x``."""
    gain = prior.covariance @ a.T @ torch.linalg.inv(a @ prior.covariance @ a.T)
    return prior.mean + gain @ (y - a @ prior.mean), prior.covariance - gain @ a @ prior.covariance
