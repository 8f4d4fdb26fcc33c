"""From a network's own parameterisation to ``E[z_0 | z_sigma]`` in the frame ``z_sigma = z_0 + sigma n``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from diffmusic.errors import InputError, reason

Network = Callable[[Tensor, Any], Tensor]
"""Network, called with its own input and timestep: one for all items, or an array with one for each."""

C_NOISE: dict[str, Callable[[float], float]] = {
    "CosineDPMSolverMultistepScheduler": lambda sigma: 2 / math.pi * math.atan(sigma),
    "EDMDPMSolverMultistepScheduler": lambda sigma: 0.25 * math.log(sigma),
    "EDMEulerScheduler": lambda sigma: 0.25 * math.log(sigma),
}
"""Input of the network for a noise level, by scheduler with EDM's preconditioning."""
FLOW = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
"""Schedulers of a rectified flow whose network takes ``num_train_timesteps * t``."""
VP = (
    "DDIMInverseScheduler", "DDIMParallelScheduler", "DDIMScheduler", "DDPMParallelScheduler", "DDPMScheduler",
    "DEISMultistepScheduler", "DPMSolverMultistepInverseScheduler", "DPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler", "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler", "PNDMScheduler", "SASolverScheduler", "UniPCMultistepScheduler",
)  # fmt: skip
"""Schedulers of the same process by betas, whose network takes the training timestep."""
DISTILLED = ("CMStochasticIterativeScheduler", "FlowMatchLCMScheduler", "LCMScheduler", "SCMScheduler", "TCDScheduler")
"""Schedulers of networks distilled to a few steps, which predict a sample instead of the mean."""
OTHERWISE: dict[str, tuple[Any, ...]] = {
    "use_flow_sigmas": (None, False),
    "timestep_type": (None, "discrete"),
    "invert_sigmas": (None, False),
}
"""Settings of the classes above that make another process of theirs, with the values that do not."""


class Noise(Protocol):
    """Parameterisation of a network, in the sigma frame."""

    def sigmas(self, steps: int) -> Tensor:
        """``steps + 1`` decreasing levels, float64, the last of them 0."""
        ...

    def denoise(self, network: Network, z: Tensor, sigma: float) -> Tensor:
        """``E[z_0 | z_sigma = z]``."""
        ...


AnyNoise = TypeVar("AnyNoise", bound=Noise)


def read_noise(
    folder: Path, process: type[AnyNoise], base: str = "the checkpoint that it was distilled from"
) -> AnyNoise:
    """Read the noise of a checkpoint from its scheduler/scheduler_config.json and nothing else.

    Args:
        folder: The checkpoint, in the layout of diffusers.
        process: The kind that networks of this architecture are trained with.
        base: The id of the checkpoint to take instead of a distilled one.

    Raises:
        InputError: The file cannot be read or says too little, its scheduler is not known or describes another
            process, or the network is distilled, so that it predicts a sample where a solver needs the mean.
    """
    path = folder / "scheduler" / "scheduler_config.json"
    try:
        noise = _noise(folder, json.loads(path.read_text(encoding="utf-8-sig")), base)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} does not describe a noise schedule: {reason(error)}") from None
    if not isinstance(noise, process):
        kinds = {VPNoise: "betas", EDMNoise: "EDM's preconditioning", FlowNoise: "a rectified flow"}
        raise InputError(f"{path} describes {kinds[type(noise)]}, where this network was trained with {kinds[process]}")
    return noise


def _noise(folder: Path, config: dict[str, Any], base: str) -> Noise:
    kind = config["_class_name"]
    if kind in DISTILLED or config.get("stochastic_sampling"):
        raise distilled(folder, kind if kind in DISTILLED else f"{kind} with stochastic_sampling", base)
    if kind not in (*C_NOISE, *FLOW, *VP):
        raise InputError(
            f"{folder}: scheduler {kind!r} describes no process that is known: betas, EDM or flow matching"
        )
    for name, usual in OTHERWISE.items():
        if config.get(name) not in usual:
            raise InputError(f"{folder}: {kind} with {name} {config[name]!r} describes a process that is not supported")
    if kind in C_NOISE:
        return EDMNoise.from_config(config)
    if kind in FLOW:
        return FlowNoise(float(config["num_train_timesteps"]))
    if config.get("trained_betas") is None:
        # The classes have defaults of their own, and no two the same: a checkpoint has to state its betas.
        absent = [name for name in ("beta_start", "beta_end", "beta_schedule") if name not in config]
        if absent:
            raise InputError(f"{folder}: scheduler {kind!r} does not state {' and '.join(absent)}")
    stated = {name: value for name, value in config.items() if not name.startswith("_")}
    return VPNoise.from_scheduler(DDIMScheduler.from_config(stated))


def distilled(folder: Path, what: str, base: str) -> InputError:
    """Return the refusal of a network that is distilled to a few steps; ``base``: the checkpoint to take instead."""
    return InputError(
        f"{folder} is distilled to a few steps ({what}): it predicts a sample, not the mean that a solver needs; "
        f"take {base}"
    )


def log_levels(highest: float, lowest: float, steps: int) -> Tensor:
    """``steps`` levels even in log sigma, then 0."""
    if not 1 <= steps <= 1000:
        raise InputError(f"steps must be 1 to 1000 (got {steps})")
    return torch.from_numpy(np.append(np.geomspace(highest, lowest, steps), 0.0))


@dataclass(frozen=True)
class VPNoise:
    """A variance-preserving network, ``x_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) n``, seen in the sigma frame:

        sigma_t = sqrt(1 - abar_t) / sqrt(abar_t),   x_t = sqrt(abar_t) z
        epsilon:       D = z - sigma eps(x_t, t)
        v_prediction:  D = sqrt(abar_t) x_t - sqrt(1 - abar_t) v(x_t, t)
        sample:        D = x_0(x_t, t)

    grid: sigma of every training timestep, increasing, float64, (timesteps,). Under a zero terminal signal-to-noise
    ratio the last one, where nothing but noise is left, has no finite sigma: it is left out.
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
        abar = abar[abar > 0]
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
        """Return the training timestep of each noise level, interpolated in log sigma."""
        return np.interp(np.log(np.maximum(sigma, 1e-12)), np.log(self.grid), np.arange(len(self.grid)))

    def denoise(self, network: Network, z: Tensor, sigma: float) -> Tensor:
        """``E[z_0 | z]`` from ``network(x_t, t)``."""
        return self._denoise(network, z, sigma, 1.0 / float(np.sqrt(1.0 + sigma**2)))

    def denoise_batch(self, network: Network, z: Tensor, sigmas: Tensor) -> Tensor:
        """Denoise latents of different levels, (batch,), float64; ``t`` is an array then."""
        levels = sigmas.double().reshape(-1, *[1] * (z.ndim - 1))
        return self._denoise(network, z, levels.to(z), (1 / (1 + levels**2).sqrt()).to(z), sigmas.cpu().numpy())

    def _denoise(self, network: Network, z: Tensor, sigma: Any, root_abar: Any, levels: Any = None) -> Tensor:
        output = network(z * root_abar, self.timestep(sigma if levels is None else levels))
        if self.prediction == "epsilon":
            return z - sigma * output
        if self.prediction == "v_prediction":
            return root_abar**2 * z - sigma * root_abar * output
        return output


@dataclass(frozen=True)
class EDMNoise:
    """A variance-exploding network with EDM's preconditioning, ``x = z_0 + sigma n = z``:

        D = c_skip z + c_out F(c_in z, c_noise(sigma)),   d = sigma_data
        c_skip = d^2 / (sigma^2 + d^2),   c_in = 1 / sqrt(sigma^2 + d^2)
        c_out = -sigma d / sqrt(sigma^2 + d^2)      v_prediction
        c_out =  sigma d / sqrt(sigma^2 + d^2)      epsilon

    Source: Karras et al., "Elucidating the design space", arXiv:2206.00364, eq. 7 and table 1. Stable Audio tells the
    network ``c_noise = 2 atan(sigma) / pi`` instead of ``ln(sigma) / 4``.
    """

    lowest: float
    highest: float
    data: float
    prediction: str
    c_noise: Callable[[float], float]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> EDMNoise:
        """Read the configuration of a diffusers scheduler named in ``C_NOISE``."""
        prediction = config["prediction_type"]
        if prediction not in ("epsilon", "v_prediction"):
            raise InputError(f"prediction type {prediction!r} is not known; epsilon or v_prediction are")
        lowest, highest, data = (float(config[name]) for name in ("sigma_min", "sigma_max", "sigma_data"))
        return cls(lowest, highest, data, prediction, C_NOISE[config["_class_name"]])

    def sigmas(self, steps: int) -> Tensor:
        return log_levels(self.highest, self.lowest, steps)

    def denoise(self, network: Network, z: Tensor, sigma: float) -> Tensor:
        norm = math.hypot(sigma, self.data)
        output = network(z / norm, self.c_noise(sigma))
        c_out = sigma * self.data / norm * (1 if self.prediction == "epsilon" else -1)
        return (self.data / norm) ** 2 * z + c_out * output


@dataclass(frozen=True)
class FlowNoise:
    """A rectified flow, ``x_t = (1 - t) z_0 + t n``, whose network predicts the velocity ``v = n - z_0``:

        sigma = t / (1 - t),   x_t = z / (1 + sigma),   D = x_t - t v(x_t, t)

    unit: the network takes ``unit * t`` (diffusers' ``num_train_timesteps``).
    lowest, highest: where sampling begins and ends. Time is continuous, so there is no grid; these are the
    log signal-to-noise ratios -6.2 and 2 between which diffusers samples Stable Audio 3, ``sigma = exp(-ratio)``.
    Source: Liu et al., "Flow straight and fast", arXiv:2209.03003, eq. 1.
    """

    unit: float
    lowest: float = math.exp(-2.0)
    highest: float = math.exp(6.2)

    def sigmas(self, steps: int) -> Tensor:
        return log_levels(self.highest, self.lowest, steps)

    def denoise(self, network: Network, z: Tensor, sigma: float) -> Tensor:
        t, x = sigma / (1 + sigma), z / (1 + sigma)
        return x - t * network(x, self.unit * t)
