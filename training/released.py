"""The released model, loaded as anyone would load it, and the few things one does with it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from diffmusic.backbones.istft_vocoder import ISTFTVocoder
from training.train_unet import FRAMES


@dataclass(frozen=True)
class Parts:
    """VAE, UNet, vocoder and schedule of a model folder."""

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    vocoder: ISTFTVocoder
    scheduler: DDIMScheduler

    @classmethod
    def load(cls, folder: Path) -> "Parts":
        return cls(
            vae=AutoencoderKL.from_pretrained(folder / "vae", low_cpu_mem_usage=False).eval(),
            unet=UNet2DConditionModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False).eval(),
            vocoder=ISTFTVocoder.from_pretrained(folder / "vocoder", low_cpu_mem_usage=False).eval(),
            scheduler=DDIMScheduler.from_pretrained(folder / "scheduler"),
        )

    def encode(self, mel: Tensor) -> Tensor:
        """Log-mel (batch, frames, bands) to latents of unit deviation."""
        return self.vae.config.scaling_factor * self.vae.encode(mel[:, None]).latent_dist.mode()

    def decode(self, latents: Tensor) -> Tensor:
        """Latents to log-mel (batch, frames, bands)."""
        return self.vae.decode(latents / self.vae.config.scaling_factor).sample[:, 0]

    def x0_error(self, latents: Tensor, step: int, generator: torch.Generator) -> float:
        """Mean squared error of the denoised latents at a step of the schedule."""
        a, s = self.levels(step)
        noise = torch.randn(latents.shape, generator=generator)
        x = a * latents + s * noise
        v = self.unet(x, step, encoder_hidden_states=None).sample
        return (a * x - s * v - latents).square().mean().item()

    def levels(self, step: int) -> tuple[float, float]:
        """``sqrt(abar)`` and ``sqrt(1 - abar)`` of a step."""
        abar = self.scheduler.alphas_cumprod[step].item()
        return abar**0.5, (1 - abar) ** 0.5

    def nearest_step(self, sigma: float) -> int:
        """The step whose ``sqrt(1 - abar) / sqrt(abar)`` is nearest, on a log scale."""
        abar = self.scheduler.alphas_cumprod
        return int(((1 - abar) / abar).sqrt().log().sub(torch.tensor(sigma).log()).abs().argmin())

    def sample(self, count: int, steps: int = 50, seed: int = 0) -> Tensor:
        """Unconditional latents by DDIM from pure noise."""
        x = torch.randn(count, 8, FRAMES, 16, generator=torch.Generator().manual_seed(seed))
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            x = self.scheduler.step(self.unet(x, t, encoder_hidden_states=None).sample, t, x).prev_sample
        return x
