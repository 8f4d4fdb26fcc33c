"""Stable Audio Open: an autoencoder of waveforms and a transformer over its latents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderOobleck, StableAudioDiTModel, StableAudioProjectionModel
from diffusers.models.embeddings import get_1d_rotary_pos_embed
from torch import Tensor

from diffmusic.backbones.noise import EDMNoise, read_noise
from diffmusic.backbones.oobleck import OobleckPrior
from diffmusic.backbones.precision import network_dtype
from diffmusic.backbones.text import Encode, Texts, tokenizer
from diffmusic.models.folder import load_module, opened


@dataclass(frozen=True)
class Condition:
    """text: (1, tokens, dim), zero where there is no token; None for the empty prompt. start, seconds: where in the
    recording the excerpt begins, and how long the whole recording is; None for as long as the latent."""

    text: Tensor | None
    start: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class StableAudio(OobleckPrior):
    """``z = E(x)`` with ``E`` the mode of the Oobleck autoencoder; ``x = Dec(z)``.

    Audio is (batch, 2, time) at 44.1 kHz, latents are (batch, 64, frames) of 2048 samples each. The transformer always
    sees as many frames as it was trained on (47.6 s); behind a shorter recording it imagines the silence that followed
    in training. It is told where in the recording the excerpt lies (``placed``), and attends to T5's states of the
    prompt; unconditional is to attend to nothing. Everything but the transformer computes in float32.
    Source: Z. Evans et al., "Stable Audio Open", arXiv:2407.14358; the folder layout is that of diffusers.
    """

    projection: Any

    @classmethod
    def load(
        cls,
        source: Path | None = None,
        device: str = "cpu",
        *,
        dtype: str = "auto",
        allow_pickle: bool = False,
        checkpointing: bool = True,
    ) -> StableAudio:
        """Read a folder in the diffusers layout. Raises InputError for one that is missing or incomplete.

        dtype: of the transformer. checkpointing: compute its activations again instead of keeping them.
        """
        folder, _ = opened(source, ("vae", "transformer", "projection_model", "scheduler"))

        def part(kind: Any, name: str, chosen: torch.dtype = torch.float32) -> Any:
            return load_module(kind, folder / name, device, chosen, allow_pickle=allow_pickle)

        transformer = part(StableAudioDiTModel, "transformer", network_dtype(dtype))
        if checkpointing:
            transformer.enable_gradient_checkpointing()
        projection = part(StableAudioProjectionModel, "projection_model")
        return cls(
            folder,
            folder.name,
            part(AutoencoderOobleck, "vae"),
            transformer,
            read_noise(folder, EDMNoise),
            Texts(lambda: _encoder(folder, device, projection, allow_pickle)),
            projection,
        )

    @property
    def excerpt_seconds(self) -> float:
        """What the transformer was trained on."""
        return self.transformer.config.sample_size * self.vae.hop_length / self.sample_rate

    def latent_shape(self, samples: int) -> tuple[int, int]:
        """(channels, frames) of a latent: what the transformer was trained on, or more for a longer excerpt."""
        return self.transformer.config.in_channels, max(self._frames(samples), self.transformer.config.sample_size)

    def denoise(self, z: Tensor, sigma: float, condition: Condition | None = None) -> Tensor:
        condition = condition or Condition(None)
        self.texts.release()
        seconds = z.shape[-1] * self.vae.hop_length / self.sample_rate
        with torch.no_grad():
            attended, told = self._conditioning(replace(condition, seconds=condition.seconds or seconds))
        rotary = _rotary(self.transformer.config.attention_head_dim // 2, z.shape[-1] + told.shape[1], z.device)

        def network(x: Tensor, t: float) -> Tensor:
            dtype = self.transformer.dtype
            return self.transformer(
                x.to(dtype),
                torch.full((len(x),), t, device=x.device),
                encoder_hidden_states=attended.to(dtype).expand(len(x), -1, -1),
                global_hidden_states=told.to(dtype).expand(len(x), -1, -1),
                rotary_embedding=rotary,
            ).sample.to(x.dtype)

        return self.noise.denoise(network, z, sigma)

    def _conditioning(self, condition: Condition) -> tuple[Tensor, Tensor]:
        """Encode the tokens to attend to, (1, tokens, dim), and the global condition, (1, 1, 2 dim)."""
        when = [torch.tensor([value], device=self.device) for value in (condition.start, condition.seconds)]
        times = self.projection(start_seconds=when[0], end_seconds=when[1])
        start, end = times.seconds_start_hidden_states, times.seconds_end_hidden_states
        told = torch.cat([start, end], dim=2)
        # For guidance, prompt and times were both replaced by zeros in training.
        if condition.text is None:
            return torch.zeros_like(start), told
        return torch.cat([condition.text, start, end], dim=1), told

    def embed(self, prompt: str | None) -> Condition:
        """T5's states of a prompt, projected; the empty prompt has none."""
        return Condition(self.texts(prompt) if prompt else None)

    def placed(self, condition: Condition, start: float, seconds: float) -> Condition:
        """Return the condition of an excerpt that begins at ``start`` in a recording of that many ``seconds``."""
        return replace(condition, start=start, seconds=seconds)


def _encoder(folder: Path, device: str, projection: Any, allow_pickle: bool) -> Encode:
    from transformers import T5EncoderModel

    tokens = tokenizer(folder / "tokenizer", 128)
    t5 = load_module(T5EncoderModel, folder / "text_encoder", device, partial=True, allow_pickle=allow_pickle)

    def encode(text: str) -> Tensor:
        length = tokens.model_max_length
        given = tokens(text, padding="max_length", max_length=length, truncation=True, return_tensors="pt").to(device)
        states = t5(given.input_ids, attention_mask=given.attention_mask)[0]
        return projection(text_hidden_states=states).text_hidden_states * given.attention_mask[..., None]

    return encode


@lru_cache(maxsize=4)
def _rotary(dim: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):
        cos, sin = get_1d_rotary_pos_embed(dim, length, use_real=True, repeat_interleave_real=False)
    return cos.to(device), sin.to(device)
