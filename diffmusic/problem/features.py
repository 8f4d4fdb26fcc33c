"""Log-magnitude features of a measurement: the space of the vocoder-mel constraint, which noise enters by its power."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_MEAN = math.pi / 4  # (E |n|)^2 / E |n|^2 of a complex normal n: magnitudes are summed in bands, not powers

_LEAST = 1e-14  # far below the floor of a log-mel


@dataclass(frozen=True)
class LogFeatures:
    """Map ``T y = w M(y)``: a log-magnitude spectrogram ``M = L(|Y|)``, in nats, with a weight for each frame.

    Attributes:
        logs: ``M``, from measurements (batch, channels, ...) to (batch, ..., frames, bands).
        magnitudes: ``|Y|``, from measurements to (batch, ..., frames, bins), on whose squares noise adds its power; by
            default ``exp(M)``.
        of_magnitudes: ``L``; by default the logarithm.
        weights: ``w`` of a measurement and the number of its frames, (frames,); 1 where there is none.
    """

    logs: Callable[[Tensor], Tensor]
    magnitudes: Callable[[Tensor], Tensor] | None = None
    of_magnitudes: Callable[[Tensor], Tensor] = torch.log
    weights: Callable[[Tensor, int], Tensor] | None = None

    def __call__(self, y: Tensor) -> Tensor:
        """Compute ``T y``."""
        return self._weighted(y, self.logs(y))

    def _weighted(self, y: Tensor, logs: Tensor) -> Tensor:
        return logs if self.weights is None else logs * self.weights(y, logs.shape[-2]).to(logs)[:, None]

    def bins(self, y: Tensor) -> Tensor:
        """Compute ``|Y|``."""
        return self.logs(y).exp() if self.magnitudes is None else self.magnitudes(y)

    def with_noise(self, y: Tensor, noise: FeatureNoise) -> Tensor:
        """Compute what ``T (y + n)`` is on average, (batch, ..., frames, bands), of ``y`` without noise:

            M' = L(sqrt(|Y|^2 + P)),   w (M' + b P_b / exp(2 M'))

        P: the noise's power in each bin and frame, P_b in each band. b: what the mean of a logarithm is below the
        logarithm of the mean where there is noise alone.
        """
        # Clamped, because the derivative of a root is not finite at 0.
        logs = self.of_magnitudes((self.bins(y).square() + noise.power).clamp(min=_LEAST).sqrt())
        return self._weighted(y, logs + noise.bias * (2 * (noise.level - logs)).exp())

    def noise(self, free: Tensor, seen: Tensor) -> FeatureNoise:
        """Measure noise in these features.

        Args:
            free: Draws of it, (draws, batch, ...).
            seen: The same as they were measured, with nothing in the gaps.
        """
        bins = torch.stack([self.bins(each).square() for each in free])
        power = _MEAN * bins.mean((0, -2)).unsqueeze(-2)
        level = self.of_magnitudes(power.sqrt())
        bias = torch.stack([self.logs(each) for each in free]).mean((0, -2)).unsqueeze(-2) - level
        if seen is not free:
            left = torch.stack([self.bins(each).square() for each in seen]).sum(0)
            power = power * left / bins.sum(0).clamp(min=1e-30)
            level = self.of_magnitudes(power.sqrt())
        return FeatureNoise(power, level, bias)


@dataclass(frozen=True)
class FeatureNoise:
    """Noise in log-magnitude features, in each frame where it is not everywhere the same (``LogFeatures``).

    Attributes:
        power: In each bin, (batch, ..., frames or 1, bins).
        level: Log-magnitude of each band, (batch, ..., frames or 1, bands).
        bias: Of the mean of a logarithm, (batch, ..., 1, bands).
    """

    power: Tensor
    level: Tensor
    bias: Tensor
