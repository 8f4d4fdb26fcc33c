"""MusicLDM's anatomy: log-mel VAE, UNet over its latents, vocoder. The mini prior has the same."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.backbones.folder import load_module, read_index, verify, weights_hash
from diffmusic.backbones.noise import VPNoise
from diffmusic.errors import InputError

MINI = Path(__file__).parent / "mini"


def mini(source: Path | None = None, device: str = "cpu") -> MusicLDM:
    """The prior inside this package (or a folder of the same kind)."""
    return MusicLDM.load(source or MINI, device, name="mini")


@dataclass(frozen=True, eq=False)
class MusicLDM:
    """``z = scaling * E(M(x))`` with ``M`` the log-mel and ``E`` the mode of the VAE; ``x = V(Dec(z / scaling))``.

    Audio is (batch, 1, time) at 16 kHz, latents are (batch, 8, frames / 4, bands / 4). Everything computes in
    float32. Source: K. Chen et al., "MusicLDM", arXiv:2308.01546; the folder layout is that of diffusers.
    """

    folder: Path
    name: str
    vae: Any
    unet: Any
    vocoder: Any
    noise: VPNoise
    log_mel: LogMel = field(default_factory=LogMel)
    excerpt_seconds: float = 10.24
    channels: int = 1

    @classmethod
    def load(cls, source: Path | None = None, device: str = "cpu", name: str | None = None) -> MusicLDM:
        """Read a folder in the diffusers layout. Raises InputError for one that is missing or incomplete."""
        if source is None:
            raise InputError("musicldm needs its weights: give --model the folder that holds model_index.json")
        folder = Path(source)
        index = read_index(folder, ("vae", "unet", "vocoder", "scheduler"))
        verify(folder)
        kinds = {"vae": AutoencoderKL, "unet": UNet2DConditionModel, "vocoder": _vocoder_class(*index["vocoder"])}
        modules = {part: load_module(kind, folder / part, device) for part, kind in kinds.items()}
        scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler", local_files_only=True)
        mel = index.get("mel", {})
        return cls(
            folder,
            name or folder.name,
            **modules,
            noise=VPNoise.from_scheduler(scheduler),
            log_mel=LogMel(MelSpec(**mel) if mel else MelSpec()),
            excerpt_seconds=index.get("excerpt_seconds", cls.excerpt_seconds),
        )

    @property
    def device(self) -> torch.device:
        return next(self.unet.parameters()).device

    @property
    def sample_rate(self) -> int:
        return self.log_mel.spec.sample_rate

    @property
    def _pixel(self) -> int:
        """Mel frames, or bands, that one latent frame stands for."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def latent_shape(self, samples: int) -> tuple[int, int, int]:
        """(channels, frames, bands) of a latent that covers that many samples."""
        pixel = self._pixel
        # The UNet halves the frames at every level but the first.
        multiple = 2 ** (len(self.unet.config.block_out_channels) - 1)
        frames = math.ceil(samples / (self.log_mel.spec.hop * pixel * multiple)) * multiple
        return self.vae.config.latent_channels, max(frames, multiple), self.log_mel.spec.bands // pixel

    def sigmas(self, steps: int) -> Tensor:
        return self.noise.sigmas(steps)

    def denoise(self, z: Tensor, sigma: float, condition: Tensor | None = None) -> Tensor:
        def network(x: Tensor, t: float) -> Tensor:
            labels = None if condition is None else condition.expand(len(x), -1)
            timesteps = torch.full((len(x),), t, device=x.device)
            return self.unet(x, timesteps, encoder_hidden_states=None, class_labels=labels).sample

        return self.noise.denoise(network, z, sigma)

    def denoise_batch(self, z: Tensor, sigmas: Tensor, conditions: Sequence[Any]) -> Tensor:
        """``denoise`` of latents that each have a level, (batch,), and a condition of their own, in one call."""
        labels = None if conditions[0] is None else torch.cat(list(conditions))

        def network(x: Tensor, t: np.ndarray) -> Tensor:
            timesteps = torch.from_numpy(t).float().to(x.device)
            return self.unet(x, timesteps, encoder_hidden_states=None, class_labels=labels).sample

        return self.noise.denoise_batch(network, z, sigmas)

    def encode(self, x: Tensor) -> Tensor:
        """Audio (batch, 1, time), padded with silence to whole latent frames, to latents."""
        spec, frames = self.log_mel.spec, self.latent_shape(x.shape[-1])[1]
        padded = torch.nn.functional.pad(x[:, 0], (0, frames * self._pixel * spec.hop - x.shape[-1]))
        return self.vae.encode(self.log_mel(padded)[:, None]).latent_dist.mode() * self.vae.config.scaling_factor

    def decode(self, z: Tensor, samples: int) -> Tensor:
        """Latents to audio (batch, 1, samples)."""
        mel = self.vae.decode(z / self.vae.config.scaling_factor).sample
        return self.vocoder(mel.squeeze(1)).reshape(len(z), 1, -1)[..., :samples]

    def mel(self, x: Tensor) -> Tensor:
        """Log-mel in nats of (batch, channels, time), as (batch, channels, frames, bands)."""
        return self.log_mel(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def embed(self, prompt: str | None) -> Tensor | None:
        """The CLAP text embedding, (1, dim); None where the UNet takes no condition.

        Raises InputError for a prompt that the model cannot follow.
        """
        if self.unet.config.class_embed_type is None:
            if prompt:
                raise InputError(f"model {self.name!r} was trained without text: it takes no prompt")
            return None
        from transformers import ClapTextModelWithProjection, RobertaTokenizer

        tokenizer = RobertaTokenizer.from_pretrained(self.folder / "tokenizer", local_files_only=True)
        text = load_module(ClapTextModelWithProjection, self.folder / "text_encoder", partial=True)
        tokens = tokenizer(prompt or "", padding="max_length", truncation=True, return_tensors="pt")
        with torch.no_grad():
            embedding = text(**tokens).text_embeds
        # ClapModel.get_text_features, which MusicLDM was trained on, returns unit vectors.
        return torch.nn.functional.normalize(embedding, dim=-1).to(self.device)

    def describe(self) -> dict[str, Any]:
        """Name, hash of all weights, sample rate and device, for the run record."""
        return {
            "name": self.name,
            "sha256": weights_hash(self.folder),
            "sample_rate": self.sample_rate,
            "device": str(self.device),
            "dtype": "float32",
        }


def _vocoder_class(library: str, name: str) -> Any:
    known = {("transformers", "SpeechT5HifiGan"), ("diffmusic.backbones.istft_vocoder", "ISTFTVocoder")}
    if (library, name) not in known:
        raise InputError(f"vocoder {library}.{name} is not known; SpeechT5HifiGan and ISTFTVocoder are")
    return getattr(importlib.import_module(library), name)
