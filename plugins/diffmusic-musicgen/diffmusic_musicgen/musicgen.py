"""MusicGen: a transformer over EnCodec's tokens, under a text and a melody."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

from diffmusic.audio.resample import resample
from diffmusic.errors import InputError
from diffmusic.models.folder import load_module, quiet, weights_hash
from diffmusic.parameters import Doc, Field
from diffmusic_musicgen.chroma import melody

LONGEST = 30.0
"""Seconds that the model was trained on."""


@dataclass(frozen=True)
class MusicGen:
    """MusicGen conditioned on melody: the target's music is made anew, led by the recording's strongest pitch class.

        tokens ~ softmax(l_0 + guidance (l - l_0)),   l = logits(tokens so far, chroma(recording), target),
        audio = EnCodec's decoder of the tokens,      l_0 those without melody and target

    It knows nothing of the recording but its melody, so that nothing of its sound is kept: the baseline of
    arXiv:2402.10009, section 4.3, with the released demo's settings (guidance 3, the 250 likeliest tokens, temperature
    1) and its medium melody checkpoint. ``checkpoint`` is a folder with the files of facebook/musicgen-melody. The
    released code takes drums and bass out of the recording first (demucs), which this one does not.

    Source: J. Copet et al., "Simple and controllable music generation", arXiv:2306.05284.
    """

    checkpoint: Annotated[str, Doc("folder of the weights, with config.json")] = ""
    guidance: Annotated[float, Field(ge=1), Doc("weight of text and melody")] = 3.0
    top_k: Annotated[int, Field(ge=1), Doc("likeliest tokens that are drawn from")] = 250
    temperature: Annotated[float, Field(gt=0), Doc("of the draw")] = 1.0
    device: Annotated[str, Doc("cpu, cuda or mps")] = "cpu"

    def edit_audio(self, audio: np.ndarray, sample_rate: int, target: str, seed: int) -> tuple[np.ndarray, int]:
        model, tokenizer = self._loaded()
        codec, decoder = model.config.audio_encoder, model.config.decoder
        rate, seconds = codec.sampling_rate, audio.shape[-1] / sample_rate
        if seconds > LONGEST + 1e-6:
            raise InputError(f"MusicGen makes {LONGEST:.0f} s at most, and this is {seconds:.1f} s: give a `segment`")
        mono = torch.from_numpy(resample(audio.mean(0, keepdims=True), sample_rate, rate)[0]).float()
        words = tokenizer([target], return_tensors="pt", padding=True)
        frames = math.ceil(mono.shape[-1] / math.prod(codec.upsampling_ratios))
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            made = model.generate(
                input_ids=words.input_ids.to(self.device),
                attention_mask=words.attention_mask.to(self.device),
                input_features=melody(mono, rate, model.config.num_chroma)[None].to(self.device),
                do_sample=True,
                guidance_scale=self.guidance,
                top_k=self.top_k,
                temperature=self.temperature,
                # The codebooks are delayed, each by a step more than the one before.
                max_new_tokens=frames + decoder.num_codebooks,
            )
        return made[0].cpu().double().numpy(), rate

    def describe(self) -> dict[str, Any]:
        folder = Path(self.checkpoint)
        return {"name": folder.name, "sha256": weights_hash(folder, ""), "device": self.device}

    def _loaded(self) -> tuple[Any, Any]:
        if not self.checkpoint:
            raise InputError("give the folder of MusicGen's weights: -s checkpoint=FOLDER, with the files of "
                             "facebook/musicgen-melody")  # fmt: skip
        return _load(self.checkpoint, self.device)


@lru_cache(maxsize=1)
def _load(checkpoint: str, device: str) -> tuple[Any, Any]:
    from transformers import AutoTokenizer, MusicgenMelodyForConditionalGeneration

    folder = Path(checkpoint)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} holds no MusicGen: config.json is missing")
    model = load_module(MusicgenMelodyForConditionalGeneration, folder, device)
    if not isinstance(model, MusicgenMelodyForConditionalGeneration):
        raise InputError(f"{folder} holds another model")
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no tokenizer: {' '.join(str(error).split())[:200]}") from None
    return model, tokenizer
