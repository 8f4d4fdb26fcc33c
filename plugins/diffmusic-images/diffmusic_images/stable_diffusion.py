"""Stable Diffusion: a UNet over the latents of a VAE, conditioned by CLIP."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import pad

from diffmusic.backbones.memory import recompute
from diffmusic.backbones.noise import VPNoise, read_noise
from diffmusic.backbones.precision import network_dtype
from diffmusic.backbones.pretrained import Pretrained
from diffmusic.backbones.text import Encode, Texts, tokenizer
from diffmusic.errors import InputError
from diffmusic.models.folder import load_module, opened
from diffmusic_images.grid import pixels_of, rows_of

PARTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")
TOKENS = 77
"""Tokens of a caption that CLIP was trained on."""


@dataclass(frozen=True, eq=False)
class StableDiffusion(Pretrained):
    """``z = scaling * E(x)`` with ``E`` the mode of the VAE; ``x = Dec(z / scaling)``.

    Images are (batch, 3, rows * columns), from -1 to 1, latents (batch, 4, rows / 8, columns / 8). An image whose sides
    are no multiples of 8 is continued by its last row and column. The condition is the last hidden state of CLIP's text
    encoder, (1, 77, dim); unconditional is that of the empty prompt. The VAE computes in float32, the network in
    ``dtype``.

    Source: R. Rombach et al., "High-resolution image synthesis with latent diffusion models", arXiv:2112.10752; the
    folder layout is that of diffusers.
    """

    RECORDED: ClassVar[tuple[str, ...]] = ("columns",)

    folder: Path
    name: str
    vae: Any
    unet: Any
    noise: VPNoise
    texts: Texts
    columns: int
    channels: int = 3

    @classmethod
    def load(
        cls,
        source: Path | None = None,
        device: str = "cpu",
        *,
        dtype: str = "auto",
        allow_pickle: bool = False,
        checkpointing: bool = True,
    ) -> StableDiffusion:
        """Read a folder in the diffusers layout.

        Args:
            source: The folder.
            device: Where the weights go.
            dtype: Precision of the network.
            allow_pickle: Read pickled weights where there are no safetensors.
            checkpointing: Compute activations again instead of keeping them for the gradient.

        Raises:
            InputError: The folder is missing or incomplete, or its network takes more than a latent.
        """
        folder, _ = opened(source, PARTS)
        network = network_dtype(dtype)
        noise = read_noise(folder, VPNoise)
        unet = load_module(UNet2DConditionModel, folder / "unet", device, network, allow_pickle=allow_pickle)
        vae = load_module(AutoencoderKL, folder / "vae", device, allow_pickle=allow_pickle)
        if unet.config.in_channels != vae.config.latent_channels:
            raise InputError(
                f"{folder}: its network takes {unet.config.in_channels} channels beside a latent of "
                f"{vae.config.latent_channels}, as one for inpainting or depth does; take the text-to-image model"
            )
        if checkpointing:
            vae.enable_gradient_checkpointing()
            recompute(unet, ("ResnetBlock2D", "Transformer2DModel"))
        size = unet.config.sample_size if isinstance(unet.config.sample_size, int) else unet.config.sample_size[1]
        pixel = 2 ** (len(vae.config.block_out_channels) - 1)
        texts = Texts(lambda: clip_text(folder, device, allow_pickle))
        return cls(folder, folder.name, vae, unet, noise, texts, size * pixel)

    def with_columns(self, columns: int) -> StableDiffusion:
        """Return the model for images of so many columns."""
        return dataclasses.replace(self, columns=columns)

    @property
    def network(self) -> Any:
        return self.unet

    @property
    def pixel(self) -> int:
        """Rows, or columns, that one of the latent stands for."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def latent_shape(self, samples: int) -> tuple[int, int, int]:
        """Return (channels, rows, columns) of the latent of so many pixels."""
        rows = -(-samples // self.columns)
        return self.vae.config.latent_channels, -(-rows // self.pixel), -(-self.columns // self.pixel)

    def denoise(self, z: Tensor, sigma: float, condition: Tensor | None = None) -> Tensor:
        return self._denoised(z, torch.full((len(z),), sigma, dtype=torch.float64), [condition] * len(z))

    def denoise_batch(self, z: Tensor, sigmas: Tensor, conditions: Sequence[Any]) -> Tensor:
        """``denoise`` of latents that each have a level, (batch,), and a condition of their own, in one call."""
        return self._denoised(z, sigmas, conditions)

    def _denoised(self, z: Tensor, sigmas: Tensor, conditions: Sequence[Any]) -> Tensor:
        states = torch.cat([self.embed(None) if each is None else each for each in conditions])
        self.texts.release()
        dtype = self.unet.dtype

        def network(x: Tensor, t: np.ndarray) -> Tensor:
            timesteps = torch.from_numpy(t).float().to(x.device)
            return self.unet(x.to(dtype), timesteps, encoder_hidden_states=states.to(dtype)).sample.to(x.dtype)

        return self.noise.denoise_batch(network, z, sigmas)

    def encode(self, x: Tensor) -> Tensor:
        """Encode pixels, (batch, 3, rows * columns)."""
        image = rows_of(x, self.columns)
        height, width = (-side % self.pixel for side in image.shape[-2:])
        image = pad(image, (0, width, 0, height), mode="replicate")
        return self.vae.encode(image).latent_dist.mode() * self.vae.config.scaling_factor

    def decode(self, z: Tensor, samples: int) -> Tensor:
        """Decode latents to pixels, (batch, 3, samples)."""
        return pixels_of(self.vae.decode(z / self.vae.config.scaling_factor).sample[..., : self.columns], samples)

    def embed(self, prompt: str | None) -> Tensor:
        """Return the condition of a prompt, (1, 77, dim)."""
        return self.texts(prompt)


def clip_text(folder: Path, device: str, allow_pickle: bool) -> Encode:
    """The last hidden state of text_encoder/, (1, tokens, dim), of a prompt that tokenizer/ fills up to its length."""
    from transformers import CLIPTextModel

    tokens = tokenizer(folder / "tokenizer", TOKENS, "CLIPTokenizer")
    model = load_module(CLIPTextModel, folder / "text_encoder", device, partial=True, allow_pickle=allow_pickle)
    masked = bool(getattr(model.config, "use_attention_mask", False))

    def encode(text: str) -> Tensor:
        given = tokens(text, padding="max_length", truncation=True, return_tensors="pt").to(device)
        mask = given.attention_mask if masked else None
        return model(input_ids=given.input_ids, attention_mask=mask).last_hidden_state

    return encode
