"""AudioLDM2: base, large and music."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import AudioLDM2ProjectionModel, AudioLDM2UNet2DConditionModel
from torch import Tensor

from diffmusic.backbones.log_mel import LogMelPrior
from diffmusic.backbones.text import Encode, clap_text, tokenizer
from diffmusic.models.folder import load_module


@dataclass(frozen=True)
class Condition:
    """What the UNet attends to: GPT-2's eight vectors, (1, 8, 768), and FLAN-T5's states with their mask and tokens,
    (1, tokens, 1024) and (1, tokens)."""

    generated: Tensor
    states: Tensor
    mask: Tensor
    tokens: Tensor

    def words(self) -> tuple[tuple[Tensor, Tensor | None], ...]:
        """Both, and the tokens of FLAN-T5's (``diffmusic.editor.attention.HasWords``)."""
        return (self.generated, None), (self.states, self.tokens[0])


@dataclass(frozen=True, eq=False)
class AudioLDM2(LogMelPrior):
    """``z = scaling * E(M(x))`` with ``M`` the log-mel and ``E`` the mode of the VAE; ``x = V(Dec(z / scaling))``.

    Audio is (batch, 1, time) at 16 kHz, latents are (batch, 8, frames / 4, bands / 4). A prompt is read by CLAP and
    FLAN-T5; GPT-2 continues what both say by eight vectors; the UNet attends to those and to FLAN-T5's states.
    Unconditional is the empty prompt read the same way, and not padded.
    Source: H. Liu et al., "AudioLDM 2", arXiv:2308.05734, section III; the folder layout is that of diffusers.
    """

    UNET: ClassVar[Any] = AudioLDM2UNet2DConditionModel

    @classmethod
    def _encoders(cls, folder: Path, device: str, allow_pickle: bool) -> Encode:
        from transformers import GPT2Model, T5EncoderModel

        def load(kind: Any, part: str, partial: bool = False) -> Any:
            return load_module(kind, folder / part, device, partial=partial, allow_pickle=allow_pickle)

        clap, tokens = clap_text(folder, device, allow_pickle), tokenizer(folder / "tokenizer_2", 512)
        t5, project = load(T5EncoderModel, "text_encoder_2", True), load(AudioLDM2ProjectionModel, "projection_model")
        # Some indices name GPT2Model, some GPT2LMHeadModel. The head is never used: the vectors are hidden states.
        gpt2 = load(GPT2Model, "language_model", True)
        count = json.loads((folder / "language_model" / "config.json").read_text(encoding="utf-8-sig")).get(
            "max_new_tokens", 8
        )

        def encode(text: str) -> Condition:
            given = tokens(text, truncation=True, max_length=tokens.model_max_length, return_tensors="pt").to(device)
            states = t5(given.input_ids, attention_mask=given.attention_mask)[0]
            sound = clap(text)[:, None]
            projected = project(
                hidden_states=sound,
                hidden_states_1=states,
                attention_mask=given.attention_mask.new_ones(1, 1),
                attention_mask_1=given.attention_mask,
            )
            vectors = continued(gpt2, projected.hidden_states, count)
            return Condition(vectors, states, given.attention_mask, given.input_ids)

        return encode

    def _network(self, x: Tensor, t: Tensor, condition: Condition | None) -> Tensor:
        condition = condition or self.embed(None)
        return self.unet(
            x,
            t,
            encoder_hidden_states=condition.generated.to(x).expand(len(x), -1, -1),
            encoder_hidden_states_1=condition.states.to(x).expand(len(x), -1, -1),
            encoder_attention_mask_1=condition.mask.expand(len(x), -1),
        ).sample


def continued(gpt2: Any, states: Tensor, count: int) -> Tensor:
    """``count`` vectors (1, count, dim) that continue ``states`` (1, length, dim): each is GPT-2's last hidden state,
    and its own next input."""
    length = states.shape[1]
    for _ in range(count):
        states = torch.cat([states, gpt2(inputs_embeds=states).last_hidden_state[:, -1:]], dim=1)
    return states[:, length:]
