"""Base of Stable Audio and ACE-Step: an Oobleck autoencoder, and a transformer over its latents."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.functional import pad

from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.backbones.memory import in_pieces, oobleck_context
from diffmusic.backbones.noise import Noise
from diffmusic.backbones.pretrained import Pretrained
from diffmusic.backbones.text import Texts

PIECE = 64
"""Latent frames that the autoencoder turns into audio, or makes of it, at a time: 3 s of Stable Audio Open."""


@dataclass(frozen=True, eq=False)
class OobleckPrior(Pretrained):
    """``z = E(x)`` with ``E`` the mode of the Oobleck autoencoder; ``x = Dec(z)``.

    Audio is (batch, 2, time) at the autoencoder's rate, latents are (batch, channels, frames). The autoencoder computes
    in float32.
    """

    folder: Path
    name: str
    vae: Any
    transformer: Any
    noise: Noise
    texts: Texts

    @property
    def network(self) -> Any:
        return self.transformer

    @property
    def sample_rate(self) -> int:
        return int(self.vae.config.sampling_rate)

    @property
    def channels(self) -> int:
        return int(self.vae.config.audio_channels)

    def _frames(self, samples: int) -> int:
        """Latent frames that hold that many samples."""
        return math.ceil(samples / self.vae.hop_length)

    def latent_shape(self, samples: int) -> tuple[int, int]:
        """(channels, frames) of a latent that covers that many samples."""
        raise NotImplementedError

    def encode(self, x: Tensor) -> Tensor:
        """Audio (batch, 2, time), followed by silence up to the whole latent, to latents."""
        hop, frames = self.vae.hop_length, self.latent_shape(x.shape[-1])[1]
        padded = pad(x, (0, frames * hop - x.shape[-1]))
        context = oobleck_context(self.vae.config)
        return in_pieces(lambda part: self.vae.encode(part).latent_dist.mode(), padded, PIECE, context, inward=hop)

    def decode(self, z: Tensor, samples: int) -> Tensor:
        """Latents to audio (batch, 2, samples). What follows the excerpt is decoded as far as it is heard in it."""
        context = oobleck_context(self.vae.config)
        heard = z[..., : self._frames(samples) + context]
        audio = in_pieces(lambda part: self.vae.decode(part).sample, heard, PIECE, context, outward=self.vae.hop_length)
        return audio[..., :samples]

    @cached_property
    def log_mel(self) -> LogMel:
        # The model has no mel of its own. This one has MusicLDM's resolution in time, and bands to the top.
        return LogMel(MelSpec(self.sample_rate, n_fft=2048, hop=512, bands=128, high=self.sample_rate / 2))

    def mel(self, x: Tensor) -> Tensor:
        """Log-mel in nats of (batch, channels, time), as (batch, channels, frames, 128)."""
        return self.log_mel(x.flatten(0, 1)).unflatten(0, x.shape[:2])
