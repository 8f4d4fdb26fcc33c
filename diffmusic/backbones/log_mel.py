"""Base of MusicLDM, AudioLDM2 and the mini prior: a VAE over log-mels, a UNet, a vocoder."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.backbones.envelope import follow
from diffmusic.backbones.istft_vocoder import ISTFTVocoder
from diffmusic.backbones.memory import hifigan_context, in_pieces, recompute
from diffmusic.backbones.noise import VPNoise, read_noise
from diffmusic.backbones.precision import network_dtype
from diffmusic.backbones.pretrained import Pretrained
from diffmusic.backbones.text import Encode, Texts
from diffmusic.errors import InputError
from diffmusic.models.folder import load_module, opened

PIECE = 256
"""Mel frames that a HiFi-GAN turns into audio at a time: 2.56 s."""


@dataclass(frozen=True, eq=False)
class LogMelPrior(Pretrained):
    """``z = scaling * E(M(x))`` with ``M`` the log-mel and ``E`` the mode of the VAE; ``x = V(Dec(z / scaling))``.

    Audio is (batch, 1, time) at the vocoder's rate, latents are (batch, channels, frames / pixel, bands / pixel). VAE
    and vocoder compute in float32, the network in ``dtype``.

    vocoder_gradient: how a gradient passes ``V``: through it (``exact``), or as through an equaliser that the log-mel
        drives (``envelope``, see ``diffmusic.backbones.envelope``).
    temperature: by which samples of these weights are tempered; ``model_index.json`` may say so.
    """

    UNET: ClassVar[Any]
    PARTS: ClassVar[tuple[str, ...]] = ("vae", "unet", "vocoder", "scheduler")

    folder: Path
    name: str
    vae: Any
    unet: Any
    vocoder: Any
    noise: VPNoise
    log_mel: LogMel
    excerpt_seconds: float
    texts: Texts
    vocoder_gradient: Literal["exact", "envelope"] = "exact"
    channels: int = 1
    temperature: float = 1.0

    @classmethod
    def load(
        cls,
        source: Path | None = None,
        device: str = "cpu",
        name: str | None = None,
        *,
        dtype: str = "auto",
        allow_pickle: bool = False,
        checkpointing: bool = True,
        vocoder_gradient: Literal["exact", "envelope"] | None = None,
    ) -> Self:
        """Read a folder in the diffusers layout. Raises InputError for one that is missing or incomplete.

        dtype: of the network; see ``diffmusic.backbones.precision``. checkpointing: compute activations again
        instead of keeping them for the gradient. vocoder_gradient: by default ``envelope`` for the vocoder of mini,
        for which it has been measured, and ``exact`` for a HiFi-GAN.
        """
        folder, index = opened(source, cls.PARTS)
        network = network_dtype(dtype)
        unet = load_module(cls.UNET, folder / "unet", device, network, allow_pickle=allow_pickle)
        vae = load_module(AutoencoderKL, folder / "vae", device, allow_pickle=allow_pickle)
        kind = _vocoder_class(*index["vocoder"])
        vocoder = load_module(kind, folder / "vocoder", device, allow_pickle=allow_pickle)
        if checkpointing:
            vae.enable_gradient_checkpointing()
            recompute(unet, ("ResnetBlock2D", "Transformer2DModel"))
        log_mel = LogMel(_mel_spec(index, vocoder))
        pixel = 2 ** (len(vae.config.block_out_channels) - 1)
        frames = unet.config.sample_size if isinstance(unet.config.sample_size, int) else unet.config.sample_size[0]
        return cls(
            folder,
            name or folder.name,
            vae,
            unet,
            vocoder,
            read_noise(folder, VPNoise),
            log_mel,
            index.get("excerpt_seconds", frames * pixel / log_mel.spec.frame_rate),
            Texts(lambda: cls._encoders(folder, device, allow_pickle)),
            vocoder_gradient or ("envelope" if isinstance(vocoder, ISTFTVocoder) else "exact"),
            temperature=float(index.get("temperature", 1.0)),
        )

    @classmethod
    def _encoders(cls, folder: Path, device: str, allow_pickle: bool) -> Encode:
        """Load the function from a prompt to the condition of ``_network``."""
        raise NotImplementedError

    def _network(self, x: Tensor, t: Tensor, condition: Any) -> Tensor:
        """Call the UNet on its own input (batch, ...) and timesteps (batch,)."""
        raise NotImplementedError

    @property
    def network(self) -> Any:
        return self.unet

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

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        self.texts.release()

        def network(x: Tensor, t: float) -> Tensor:
            timesteps = torch.full((len(x),), t, device=x.device)
            return self._network(x.to(self.unet.dtype), timesteps, condition).to(x.dtype)

        return self.noise.denoise(network, z, sigma)

    def encode(self, x: Tensor) -> Tensor:
        """Audio (batch, 1, time), padded with silence to whole latent frames, to latents."""
        spec, frames = self.log_mel.spec, self.latent_shape(x.shape[-1])[1]
        padded = torch.nn.functional.pad(x[:, 0], (0, frames * self._pixel * spec.hop - x.shape[-1]))
        return self.vae.encode(self.log_mel(padded)[:, None]).latent_dist.mode() * self.vae.config.scaling_factor

    def decode(self, z: Tensor, samples: int) -> Tensor:
        """Latents to audio (batch, 1, samples)."""
        mel = self.vae.decode(z / self.vae.config.scaling_factor).sample.squeeze(1)
        if self.vocoder_gradient == "exact":
            audio = self._vocode(mel)
        else:
            with torch.no_grad():
                audio = self._vocode(mel)
            audio = follow(audio, mel, self.log_mel)
        return audio[:, None, :samples]

    def _vocode(self, mel: Tensor) -> Tensor:
        """Log-mel (batch, frames, bands) to audio (batch, frames * hop)."""
        if isinstance(self.vocoder, ISTFTVocoder):
            whole: Tensor = self.vocoder(mel)
            return whole
        context, hop = hifigan_context(self.vocoder.config), self.log_mel.spec.hop
        audio = in_pieces(lambda m: self.vocoder(m.mT), mel.mT, PIECE, context, outward=hop)
        return audio.reshape(len(mel), -1)[:, : mel.shape[1] * hop]

    def describe(self) -> dict[str, Any]:
        return super().describe() | {"vocoder_gradient": self.vocoder_gradient}

    def mel(self, x: Tensor) -> Tensor:
        """Log-mel in nats of (batch, channels, time), as (batch, channels, frames, bands)."""
        return self.log_mel(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def embed(self, prompt: str | None) -> Any:
        """The condition of a prompt, (1, ...); that of the empty prompt is what the model was trained to take as
        unconditional."""
        return self.texts(prompt)


def _vocoder_class(library: str, name: str) -> Any:
    known = {("transformers", "SpeechT5HifiGan"), ("diffmusic.backbones.istft_vocoder", "ISTFTVocoder")}
    if (library, name) not in known:
        raise InputError(f"vocoder {library}.{name} is not known; SpeechT5HifiGan and ISTFTVocoder are")
    return getattr(importlib.import_module(library), name)


def _mel_spec(index: dict[str, Any], vocoder: Any) -> MelSpec:
    """Return the log-mel of a model: that of its index, or else that of its vocoder."""
    if "mel" in index or isinstance(vocoder, ISTFTVocoder):
        return MelSpec(**index.get("mel", {}))
    rate, hop = vocoder.config.sampling_rate, math.prod(vocoder.config.upsample_rates)
    return MelSpec(sample_rate=rate, hop=hop, bands=vocoder.config.model_in_dim, high=rate / 2)
