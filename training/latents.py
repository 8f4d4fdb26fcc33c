"""Latents for the UNet's training: a pool of random excerpts, encoded by the frozen VAE and renewed bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from training.mels import EXCERPT_FRAMES, Mels, Sampler, shares

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


def frozen_vae(package: Path) -> AutoencoderKL:
    """The VAE of a model folder in float32, without gradients."""
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(package / "vae", torch_dtype=torch.float32)
    return vae.to(memory_format=torch.channels_last).eval().requires_grad_(False)


def encoder(vae: AutoencoderKL) -> Callable[[Tensor], Tensor]:
    """Log-mels (batch, frames, 64) to scaled latents (batch, 8, frames / 4, 16), the posterior's mode."""
    scale = vae.config.scaling_factor

    @torch.no_grad()
    def encode(mel: Tensor) -> Tensor:
        mel = mel[:, None].contiguous(memory_format=torch.channels_last)
        return scale * vae.encode(mel).latent_dist.mode()

    return encode


class LatentPool:
    """Up to `size` excerpts' latents with the sources that they are of; new ones take the place of the oldest.

    It grows as training goes, so that a start does not wait for all of it.
    """

    def __init__(self, sampler: Sampler, encode: Callable[[Tensor], Tensor], size: int, device: str) -> None:
        self.sampler, self.encode, self.size, self.device = sampler, encode, size, device
        self.latents = torch.empty(0, dtype=torch.float16, device=device)
        self.sources = torch.empty(0, dtype=torch.long)
        self.filled = self.next = 0

    def renew(self, count: int, generator: torch.Generator) -> None:
        """Encode `count` more excerpts."""
        mel, sources = self.sampler.draw(count, generator)
        latents = self.encode(mel.to(self.device)).half()
        if not self.filled:
            self.latents = torch.empty(self.size, *latents.shape[1:], dtype=torch.float16, device=self.device)
            self.sources = torch.zeros(self.size, dtype=torch.long)
        at = (self.next + torch.arange(count)) % self.size
        self.latents[at.to(self.device)] = latents
        self.sources[at] = torch.tensor(sources)
        self.next = (self.next + count) % self.size
        self.filled = min(self.size, self.filled + count)

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Latents (batch, 8, frames, 16) in float32, and the indices of their sources."""
        at = torch.randint(self.filled, (batch,), generator=generator)
        return self.latents[at.to(self.device)].float(), self.sources[at]


def scaling_factor(vae: AutoencoderKL, mels: Mels, excerpts: int = 512) -> float:
    """One over the deviation of the posterior's mode, over random training excerpts."""
    generator = torch.Generator().manual_seed(0)
    sampler = mels.sampler(shares(mels.rows), EXCERPT_FRAMES)
    with torch.no_grad():
        parts = [vae.encode(sampler.draw(8, generator)[0][:, None]).latent_dist.mode() for _ in range(0, excerpts, 8)]
    return 1 / torch.cat(parts).std().item()
