"""From a network's own parameterisation to ``E[z_0 | z_sigma]`` in the frame ``z_sigma = z_0 + sigma n``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmusic.errors import InputError


@dataclass(frozen=True)
class VPNoise:
    """A variance-preserving network, ``x_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) n``, seen in the sigma frame:

        sigma_t = sqrt(1 - abar_t) / sqrt(abar_t),   x_t = sqrt(abar_t) z
        epsilon:       D = z - sigma eps(x_t, t)
        v_prediction:  D = sqrt(abar_t) x_t - sqrt(1 - abar_t) v(x_t, t)
        sample:        D = x_0(x_t, t)

    grid: sigma of every training timestep, increasing, float64, (timesteps,).
    prediction: diffusers' name of what the network predicts.
    """

    grid: np.ndarray
    prediction: str

    @classmethod
    def from_scheduler(cls, scheduler: object) -> VPNoise:
        """Read a diffusers scheduler that has ``alphas_cumprod``, such as DDIMScheduler."""
        abar = scheduler.alphas_cumprod.double().numpy()  # type: ignore[attr-defined]
        prediction = scheduler.config.prediction_type  # type: ignore[attr-defined]
        if prediction not in ("epsilon", "v_prediction", "sample"):
            raise InputError(f"prediction type {prediction!r} is not known; epsilon, v_prediction or sample are")
        return cls(np.sqrt((1 - abar) / abar), prediction)

    def sigmas(self, steps: int) -> Tensor:
        """``steps + 1`` levels: training timesteps from the last to the first, evenly in log sigma as far as the grid
        is fine enough, then 0. Evenly in time they would crowd where nothing is decided yet."""
        if not 1 <= steps <= len(self.grid):
            raise InputError(f"steps must be 1 to {len(self.grid)} (got {steps})")
        logs = np.log(self.grid)
        wanted = np.interp(np.linspace(logs[-1], logs[0], steps), logs, np.arange(len(logs))).round()
        # Strictly decreasing: what a timestep has above the fewest that must still follow may never grow.
        following = np.arange(steps)[::-1]
        timesteps = following + np.minimum.accumulate(np.maximum(wanted - following, 0)).astype(int)
        return torch.from_numpy(np.append(self.grid[timesteps], 0.0))

    def timestep(self, sigma: Any) -> Any:
        """The training timestep of a level, or of each of several; between two, interpolated in log sigma."""
        return np.interp(np.log(np.maximum(sigma, 1e-12)), np.log(self.grid), np.arange(len(self.grid)))

    def denoise(self, network: Callable[[Tensor, Any], Tensor], z: Tensor, sigma: float) -> Tensor:
        """``E[z_0 | z]`` from ``network(x_t, t)``."""
        return self._denoise(network, z, sigma, 1.0 / float(np.sqrt(1.0 + sigma**2)))

    def denoise_batch(self, network: Callable[[Tensor, Any], Tensor], z: Tensor, sigmas: Tensor) -> Tensor:
        """The same where every latent has a level of its own, (batch,), float64; ``t`` is an array then."""
        levels = sigmas.double().reshape(-1, *[1] * (z.ndim - 1))
        return self._denoise(network, z, levels.to(z), (1 / (1 + levels**2).sqrt()).to(z), sigmas.cpu().numpy())

    def _denoise(
        self, network: Callable[[Tensor, Any], Tensor], z: Tensor, sigma: Any, root_abar: Any, levels: Any = None
    ) -> Tensor:
        output = network(z * root_abar, self.timestep(sigma if levels is None else levels))
        if self.prediction == "epsilon":
            return z - sigma * output
        if self.prediction == "v_prediction":
            return root_abar**2 * z - sigma * root_abar * output
        return output
