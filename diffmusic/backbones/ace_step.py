"""ACE-Step 1.5: a rectified flow over the latents of an Oobleck autoencoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderOobleck
from torch import Tensor

from diffmusic.backbones.noise import FlowNoise, distilled, read_noise
from diffmusic.backbones.oobleck import OobleckPrior
from diffmusic.backbones.precision import network_dtype
from diffmusic.backbones.text import Encode, Texts, tokenizer
from diffmusic.errors import InputError
from diffmusic.models.folder import load_module, opened

LENGTH = 1200
"""Latent frames of a window of a long recording: 48 s. The model takes any length from ten seconds to ten minutes."""
LOWEST = 0.05
"""Noise level at which sampling ends: that of the last step of sixty on the shifted schedule of the pipeline."""
BASE = "ACE-Step/acestep-v15-xl-base-diffusers"
TIMBRE_SECONDS = 30
"""Length of the reference whose timbre is encoded: silence, as there is none."""
TOKENS, LYRIC_TOKENS = 256, 2048
"""Tokens of a prompt and of lyrics that the model was trained on."""
FILL = "Fill the audio semantic mask based on the given conditions:"
REPAINT = "Repaint the mask area based on the given conditions:"
"""Instruction to the model: make everything, or what is missing."""
PROMPT = (
    "# Instruction\n{instruction}\n\n# Caption\n{caption}\n\n# Metas\n"
    "- bpm: N/A\n- timesignature: N/A\n- keyscale: N/A\n- duration: {seconds} seconds\n<|endoftext|>\n"
)
"""Template of a caption as in training; the duration is a part of it."""
LYRICS = "# Languages\nen\n\n# Lyric\n<|endoftext|>"
"""Template of lyrics, for instrumental music."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """text: what the music is, "" for unconditional. seconds: how long the whole recording is; None for as long as the
    latent. context: what the transformer sees beside the latent, (1, 2 channels, frames); None for nothing known."""

    text: str
    seconds: float | None = None
    context: Tensor | None = None


@dataclass(frozen=True, eq=False)
class AceStep(OobleckPrior):
    """``z = E(x)`` with ``E`` the mode of the Oobleck autoencoder; ``x = Dec(z)``.

    Audio is (batch, 2, time) at 48 kHz, latents are (batch, 64, frames) of 1920 samples each, a rectified flow. The
    transformer sees, beside the latent, a context of the same length: a latent, here that of silence, and where it is
    to be filled, here everywhere. It attends to Qwen3's states of the prompt, in which the duration is written, to
    lyrics, of which there are none, and to the timbre of silence; unconditional is to attend to one learned vector.
    Where a part of the latent is known (``given``), the context is that part.
    Guidance is the plain classifier-free one. Take the base or the sft checkpoint: turbo is distilled to a few steps.

    silence: the latents of silence, (1, 64, frames). null: the learned vector, (1, 1, dim).
    Source: "ACE-Step 1.5", arXiv:2602.00744; the folder layout is that of diffusers (0.38 or newer).
    """

    silence: Tensor
    null: Tensor

    @classmethod
    def load(
        cls,
        source: Path | None = None,
        device: str = "cpu",
        *,
        dtype: str = "auto",
        allow_pickle: bool = False,
        checkpointing: bool = True,
    ) -> AceStep:
        """Read a folder in the diffusers layout.

        Args:
            source: The folder.
            device: Where the weights go.
            dtype: Precision of the transformer.
            allow_pickle: Read pickled weights where there are no safetensors.
            checkpointing: Compute the transformer's activations again instead of keeping them.

        Raises:
            InputError: The folder is missing, incomplete or of a distilled checkpoint, or diffusers is too old.
        """
        try:
            from diffusers import AceStepTransformer1DModel
        except ImportError:
            raise InputError("ACE-Step needs diffusers 0.38 or newer: pip install -U diffusers") from None
        folder, _ = opened(source, ("vae", "transformer", "condition_encoder", "scheduler"))
        noise = replace(read_noise(folder, FlowNoise, BASE), lowest=LOWEST)
        transformer = load_module(
            AceStepTransformer1DModel, folder / "transformer", device, network_dtype(dtype), allow_pickle=allow_pickle
        )
        if transformer.config.is_turbo or transformer.config.model_version == "turbo":
            raise distilled(folder, "turbo", BASE)
        if checkpointing:
            transformer.enable_gradient_checkpointing()
        vae = load_module(AutoencoderOobleck, folder / "vae", device, allow_pickle=allow_pickle)
        conditioner = _conditioner(folder, device, allow_pickle)
        silence, null = conditioner.silence_latent.mT.clone(), conditioner.null_condition_emb.clone()
        texts = Texts(lambda: _encoder(folder, device, allow_pickle, round(TIMBRE_SECONDS * _rate(vae))))
        return cls(folder, folder.name, vae, transformer, noise, texts, silence, null)

    @property
    def excerpt_seconds(self) -> float:
        return LENGTH / _rate(self.vae)

    def latent_shape(self, samples: int) -> tuple[int, int]:
        """(channels, frames) of a latent that covers that many samples."""
        return self.transformer.config.audio_acoustic_hidden_dim, self._frames(samples)

    def denoise(self, z: Tensor, sigma: float, condition: Prompt | None = None) -> Tensor:
        condition = condition or Prompt("")
        attended = self._attended(condition, z.shape[-1])
        self.texts.release()
        context = self._context(z.shape[-1]) if condition.context is None else condition.context

        def network(x: Tensor, t: float) -> Tensor:
            dtype = self.transformer.dtype
            time = torch.full((len(x),), t, device=x.device, dtype=dtype)
            return self.transformer(
                hidden_states=x.mT.to(dtype),
                timestep=time,
                timestep_r=time,
                encoder_hidden_states=attended.to(dtype).expand(len(x), -1, -1),
                context_latents=context.mT.to(dtype).expand(len(x), -1, -1),
            ).sample.mT.to(x.dtype)

        return self.noise.denoise(network, z, sigma)

    def _attended(self, condition: Prompt, frames: int) -> Tensor:
        """Encode what the transformer attends to, (1, tokens, dim)."""
        if not condition.text:
            return self.null  # attending to one vector is attending to as many copies of it as there are tokens
        length = frames / _rate(self.vae)
        seconds = min(condition.seconds or length, length)
        instruction = FILL if condition.context is None else REPAINT
        text = PROMPT.format(instruction=instruction, caption=condition.text, seconds=int(seconds))
        return self.texts(text)

    def _context(self, frames: int) -> Tensor:
        """Context of a latent that is to be filled everywhere, (1, 2 channels, frames)."""
        times = -(-frames // self.silence.shape[-1])
        silence = self.silence.repeat(1, 1, times)[..., :frames]
        return torch.cat([silence, torch.ones_like(silence)], dim=1)

    def embed(self, prompt: str | None) -> Prompt:
        """Return the condition of a prompt. It is encoded together with the duration, once that is known."""
        condition = Prompt(prompt or "")
        self._attended(condition, LENGTH)
        return condition

    def given(self, condition: Prompt, z: Tensor, known: Tensor) -> Prompt:
        """The condition of a latent (channels, frames) that is known where ``known`` is 1: the model was trained to
        repaint the rest, in whose place it sees silence."""
        silence = self._context(z.shape[-1])[0, : len(z)]
        missing = (1 - known).expand_as(z)
        seen = replace(condition, context=torch.cat([torch.where(missing > 0.5, silence, z), missing])[None])
        self._attended(seen, z.shape[-1])
        return seen

    def placed(self, condition: Prompt, start: float, seconds: float) -> Prompt:
        """Return the condition of an excerpt of a recording of that many ``seconds``."""
        placed = replace(condition, seconds=seconds)
        self._attended(placed, LENGTH)
        return placed


def _rate(vae: Any) -> float:
    """Latent frames a second."""
    return float(vae.config.sampling_rate / vae.hop_length)


def _conditioner(folder: Path, device: str, allow_pickle: bool) -> Any:
    from diffusers.pipelines.ace_step.modeling_ace_step import AceStepConditionEncoder

    return load_module(AceStepConditionEncoder, folder / "condition_encoder", device, allow_pickle=allow_pickle)


def _encoder(folder: Path, device: str, allow_pickle: bool, timbre_frames: int) -> Encode:
    from transformers import Qwen3Model

    tokens = tokenizer(folder / "tokenizer", TOKENS)
    qwen = load_module(Qwen3Model, folder / "text_encoder", device, partial=True, allow_pickle=allow_pickle)
    conditioner = _conditioner(folder, device, allow_pickle)

    def read(text: str, length: int) -> Any:
        return tokens(text, truncation=True, max_length=length, return_tensors="pt").to(device)

    def encode(text: str) -> Tensor:
        prompt, lyrics = read(text, TOKENS), read(LYRICS, LYRIC_TOKENS)
        attended, _ = conditioner(
            text_hidden_states=qwen(input_ids=prompt.input_ids).last_hidden_state,
            text_attention_mask=prompt.attention_mask.bool(),
            lyric_hidden_states=qwen.get_input_embeddings()(lyrics.input_ids),
            lyric_attention_mask=lyrics.attention_mask.bool(),
            refer_audio_acoustic_hidden_states_packed=conditioner.silence_latent[:, :timbre_frames],
            refer_audio_order_mask=torch.zeros(1, dtype=torch.long, device=device),
        )
        return attended

    return encode
