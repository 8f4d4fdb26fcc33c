"""Prior of music."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffmusic.audio.mel import LogMel
from diffmusic.errors import InputError


def load(source: Path | None = None, device: str = "cpu") -> Placeholder:
    """Load the backbone: diffmusic calls this with a folder of weights, or None, and a device."""
    if source is not None:
        raise InputError("this prior has no weights: leave the folder out")
    return Placeholder(torch.device(device))


@dataclass(frozen=True)
class Placeholder:
    """Standard normal prior, ``z_0 ~ N(0, I)``, so that ``E[z_0 | z] = z / (1 + sigma^2)``: put your network here.

    The latent is the audio, divided by its usual amplitude: both are (batch, 1, time), at 16 kHz.
    """

    device: torch.device
    sample_rate: int = 16000
    channels: int = 1
    excerpt_seconds: float = 10.0
    level: float = 0.1  # root mean square that diffmusic scales music to
    log_mel: LogMel = field(default_factory=LogMel)

    def sigmas(self, steps: int) -> Tensor:
        """Return ``steps + 1`` decreasing noise levels, the last one 0."""
        return torch.cat([torch.logspace(1.5, -2.5, steps, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)])

    def latent_shape(self, samples: int) -> tuple[int, ...]:
        """Return the shape of a latent, without batch."""
        return (1, samples)

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        """Return ``E[z_0 | z_sigma = z]``, whatever the network predicts."""
        return z / (1 + sigma**2)

    def encode(self, x: Tensor) -> Tensor:
        """Encode audio as latents."""
        return x / self.level

    def decode(self, z: Tensor, samples: int) -> Tensor:
        """Decode latents to audio of that many samples, differentiable."""
        return z[..., :samples] * self.level

    def mel(self, x: Tensor) -> Tensor:
        """Compute the log-mel of (batch, channels, time)."""
        return self.log_mel(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def embed(self, prompt: str | None) -> None:
        """Return the condition for a prompt."""
        if prompt:
            raise InputError("this prior takes no prompt")

    def describe(self) -> dict[str, Any]:
        """Describe the model for the run record."""
        return {"name": "placeholder", "sample_rate": self.sample_rate}
