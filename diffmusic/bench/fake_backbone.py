"""Backbone without weights that answers every call at once, so that a solver's calls can be counted cheaply."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

HOP = 640
"""Samples in one latent frame."""


@dataclass(frozen=True)
class FakeBackbone:
    """``Backbone`` with the rate, channels and excerpt length of another; its latents are block means of audio."""

    sample_rate: int = 16000
    channels: int = 1
    excerpt_seconds: float = 10.24

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def sigmas(self, steps: int) -> Tensor:
        levels = torch.logspace(math.log10(20), math.log10(0.03), steps, dtype=torch.float64)
        return torch.cat([levels, torch.zeros(1, dtype=torch.float64)])

    def latent_shape(self, samples: int) -> tuple[int, ...]:
        return (self.channels, 4 * math.ceil(samples / (4 * HOP)), 1)

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        return z / (1 + sigma**2)

    def encode(self, x: Tensor) -> Tensor:
        frames = self.latent_shape(x.shape[-1])[1]
        padded = torch.nn.functional.pad(x, (0, frames * HOP - x.shape[-1]))
        return padded.unflatten(-1, (frames, HOP)).mean(-1)[..., None]

    def decode(self, z: Tensor, samples: int) -> Tensor:
        return z[..., 0].repeat_interleave(HOP, -1)[..., :samples]

    def mel(self, x: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool1d(x.square(), HOP, ceil_mode=True).clamp(1e-5).log()

    def embed(self, prompt: str | None) -> Any:
        return prompt or None

    def describe(self) -> dict[str, Any]:
        return {"name": "stand-in", "sha256": "", "dtype": "float32"}
