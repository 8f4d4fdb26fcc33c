"""Stable Audio 3: a rectified flow over the latents of a transformer autoencoder."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffmusic.backbones.memory import recompute
from diffmusic.backbones.noise import FlowNoise, read_noise
from diffmusic.backbones.precision import network_dtype
from diffmusic.backbones.stable_audio import Condition, StableAudio
from diffmusic.backbones.text import Encode, Texts, tokenizer
from diffmusic.errors import InputError
from diffmusic.models.folder import load_module, opened

LENGTH = 512
"""Latent frames of a window of a long recording: 47.6 s. The model takes any length up to six minutes."""


@dataclass(frozen=True)
class Prompt:
    """T5Gemma's states, (1, tokens, dim), and which of them are tokens, (1, tokens)."""

    states: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Context(Condition):
    """seen: where a latent is known, and what it is there, (1, 1 + channels, frames); None where nothing is."""

    seen: Tensor | None = None


@dataclass(frozen=True, eq=False)
class StableAudio3(StableAudio):
    """``z = E(x)``, ``x = Dec(z)`` with the autoencoder SAME; a rectified flow over ``z``.

    Audio is (batch, 2, time) at 44.1 kHz, latents are (batch, 256, frames) of 4096 samples each. The transformer is
    told the seconds of the recording, and attends to T5Gemma's states of the prompt and to the seconds; unconditional
    is the empty prompt read the same way. Take a checkpoint whose name ends in ``-base``: the others are distilled to
    few steps, and what they predict is a sample, not the mean that a solver needs.
    Source: "Stable Audio 3", arXiv:2605.17991; the folder layout is that of diffusers (0.42 or newer).
    """

    @classmethod
    def load(
        cls,
        source: Path | None = None,
        device: str = "cpu",
        *,
        dtype: str = "auto",
        allow_pickle: bool = False,
        checkpointing: bool = True,
    ) -> StableAudio3:
        """Read a folder in the diffusers layout. Raises InputError for one that is missing or incomplete, and where
        diffusers is too old to have the modules.

        dtype: of the transformer. checkpointing: compute activations again instead of keeping them.
        """
        try:
            from diffusers import AutoencoderSAME, StableAudio3DiTModel
            from diffusers.pipelines.stable_audio_3.modeling_stable_audio_3 import StableAudio3DurationEmbedder
        except ImportError:
            raise InputError("Stable Audio 3 needs diffusers 0.42 or newer: pip install -U diffusers") from None
        folder, _ = opened(source, ("vae", "transformer", "duration_embedder", "scheduler"))

        def part(kind: Any, name: str, chosen: torch.dtype = torch.float32) -> Any:
            return load_module(kind, folder / name, device, chosen, allow_pickle=allow_pickle)

        vae = part(AutoencoderSAME, "vae")
        transformer = part(StableAudio3DiTModel, "transformer", network_dtype(dtype))
        if checkpointing:
            transformer.enable_gradient_checkpointing()
            recompute(vae, ("TransformerBlock",))
        return cls(
            folder,
            folder.name,
            vae,
            transformer,
            read_noise(folder, FlowNoise, _base(folder)),
            Texts(lambda: _encoder(folder, device, allow_pickle)),
            part(StableAudio3DurationEmbedder, "duration_embedder"),
        )

    @property
    def _hop(self) -> int:
        return int(self.vae.downsampling_ratio)

    @property
    def excerpt_seconds(self) -> float:
        return LENGTH * self._hop / self.sample_rate

    def latent_shape(self, samples: int) -> tuple[int, int]:
        """(channels, frames) of a latent that covers that many samples."""
        return self.transformer.config.io_channels, math.ceil(samples / self._hop)

    def denoise(self, z: Tensor, sigma: float, condition: Condition | None = None) -> Tensor:
        condition = condition or self.embed(None)
        self.texts.release()
        prompt: Any = condition.text
        seconds = condition.seconds or z.shape[-1] * self._hop / self.sample_rate
        with torch.no_grad():
            told = self.projection(torch.tensor([seconds], device=z.device))
        attended = torch.cat([prompt.states, told[:, None]], dim=1)
        mask = pad(prompt.mask, (0, 1), value=1)
        seen = condition.seen if isinstance(condition, Context) else None

        def network(x: Tensor, t: float) -> Tensor:
            dtype = self.transformer.dtype
            return self.transformer(
                x.to(dtype),
                torch.full((len(x),), t, device=x.device),
                encoder_hidden_states=attended.to(dtype).expand(len(x), -1, -1),
                global_hidden_states=told.to(dtype).expand(len(x), -1),
                encoder_attention_mask=mask.expand(len(x), -1),
                local_add_cond=None if seen is None else seen.to(dtype).expand(len(x), -1, -1),
            ).sample.to(x.dtype)

        return self.noise.denoise(network, z, sigma)

    def encode(self, x: Tensor) -> Tensor:
        """Audio (batch, 2, time), followed by silence to whole latent frames, to latents."""
        return self.vae.encode(pad(x, (0, -x.shape[-1] % self._hop))).latents

    def decode(self, z: Tensor, samples: int) -> Tensor:
        """Latents to audio (batch, 2, samples)."""
        return self.vae.decode(z).sample[..., :samples]

    def embed(self, prompt: str | None) -> Condition:
        """T5Gemma's states of a prompt, the empty one too."""
        return Condition(self.texts(prompt))

    def given(self, condition: Condition, z: Tensor, known: Tensor) -> Condition:
        """The condition of a latent (channels, frames) that is known where ``known`` is 1: the model was trained to
        fill the rest."""
        seen = torch.cat([known[None], known * z])[None]
        return Context(condition.text, condition.start, condition.seconds, seen)

    def placed(self, condition: Condition, start: float, seconds: float) -> Condition:
        """Return the condition of an excerpt of a recording of that many ``seconds``."""
        return replace(condition, seconds=seconds)


def _base(folder: Path) -> str:
    """Return the id of the base of a distilled checkpoint, if its path tells which."""
    size = re.search(r"small-music|small-sfx|medium", str(folder))
    return f"stabilityai/stable-audio-3-{size[0] if size else 'medium'}-base"


def _encoder(folder: Path, device: str, allow_pickle: bool) -> Encode:
    from transformers import T5GemmaEncoderModel

    tokens = tokenizer(folder / "tokenizer", 256)
    length = min(tokens.model_max_length, 256)  # as in training
    encoder = load_module(T5GemmaEncoderModel, folder / "text_encoder", device, allow_pickle=allow_pickle)

    def encode(text: str) -> Prompt:
        given = tokens(text, padding="max_length", max_length=length, truncation=True, return_tensors="pt").to(device)
        return Prompt(encoder(given.input_ids, attention_mask=given.attention_mask)[0], given.attention_mask)

    return encode
