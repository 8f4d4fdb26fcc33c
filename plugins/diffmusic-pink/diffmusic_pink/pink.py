"""The smallest backbone: music as pink noise, whose denoiser is known in closed form."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from diffmusic import InputError
from diffmusic.audio.mel import LogMel


def load(source: Any = None, device: str = "cpu") -> "Pink":
    """What diffmusic calls: a folder, or None, and a device."""
    if source is not None:
        raise InputError("pink has no weights: leave the folder out")
    return Pink(torch.device(device))


@dataclass(frozen=True)
class Pink:
    """``z_0 ~ N(0, F^-1 S F)`` with ``S = s^2 f_1 / (f + f_1)``; the latent is the audio, divided by its usual level.

    ``D = E[z_0 | z] = F^-1 S / (S + sigma^2) F z``. Shapes: audio and latents are (batch, 1, time), at 16 kHz.
    """

    device: torch.device
    sample_rate: int = 16000
    channels: int = 1
    excerpt_seconds: float = 10.24
    level: float = 0.1  # at which diffmusic shows music to a prior
    log_mel: LogMel = field(default_factory=LogMel)

    def _spectrum(self, samples: int, like: Tensor) -> Tensor:
        pink = 50.0 / (torch.fft.rfftfreq(samples, 1 / self.sample_rate, dtype=like.dtype, device=like.device) + 50.0)
        return pink / pink.mean()

    def sigmas(self, steps: int) -> Tensor:
        return torch.cat([torch.logspace(1.5, -2.5, steps, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)])

    def latent_shape(self, samples: int) -> tuple[int, ...]:
        return (1, samples)

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        spectrum = self._spectrum(z.shape[-1], z)
        return torch.fft.irfft(torch.fft.rfft(z) * (spectrum / (spectrum + sigma**2)), n=z.shape[-1])

    def encode(self, x: Tensor) -> Tensor:
        return x / self.level

    def decode(self, z: Tensor, samples: int) -> Tensor:
        return z[..., :samples] * self.level

    def mel(self, x: Tensor) -> Tensor:
        return self.log_mel(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def embed(self, prompt: str | None) -> None:
        if prompt:
            raise InputError("pink takes no prompt")

    def describe(self) -> dict[str, Any]:
        return {"name": "pink", "sample_rate": self.sample_rate}
