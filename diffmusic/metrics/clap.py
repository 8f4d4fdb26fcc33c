"""Embeddings of sounds and of captions in one space, by a CLAP: what FAD and the CLAP score are measured in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.resample import resample
from diffmusic.backbones.folder import load_module


@dataclass(frozen=True, eq=False)
class Clap:
    """A ClapModel with its tokenizer and feature extractor; embeddings are unit vectors.

    Source: Y. Wu et al., "Large-scale contrastive language-audio pretraining", arXiv:2211.06687.
    """

    model: Any
    tokenizer: Any
    extractor: Any

    @classmethod
    def load(cls, folder: Path) -> Clap:
        """From a pipeline folder with ``text_encoder``, ``tokenizer`` and ``feature_extractor``."""
        from transformers import ClapFeatureExtractor, ClapModel, RobertaTokenizer

        return cls(
            load_module(ClapModel, folder / "text_encoder"),
            RobertaTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
            ClapFeatureExtractor.from_pretrained(folder / "feature_extractor", local_files_only=True),
        )

    @torch.no_grad()
    def text(self, captions: Sequence[str]) -> np.ndarray:
        """(captions, dimensions)."""
        tokens = self.tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt")
        return _unit(self.model.get_text_features(**tokens))

    @torch.no_grad()
    def audio(self, x: np.ndarray, sample_rate: int) -> np.ndarray:
        """(windows, dimensions) of audio (channels, time): its mono sum in windows of the model's length, half
        overlapping, the last one ending with the audio. Shorter audio is repeated to fill one window."""
        rate, length = self.extractor.sampling_rate, int(self.extractor.nb_max_samples)
        mono = resample(x.mean(0, keepdims=True), sample_rate, rate)[0]
        last = max(0, len(mono) - length)
        starts = sorted({*range(0, last + 1, length // 2), last})
        windows = [mono[start : start + length] for start in starts]
        features = self.extractor(windows, sampling_rate=rate, return_tensors="pt")["input_features"]
        return _unit(self.model.get_audio_features(input_features=features.float()))

    def score(self, x: np.ndarray, sample_rate: int, caption: str) -> float:
        """The CLAP score: the mean over windows of ``cos(audio, caption)``, -1 to 1, higher is better."""
        return float((self.audio(x, sample_rate) @ self.text([caption])[0]).mean())


def _unit(features: Any) -> np.ndarray:
    # Newer versions of transformers return an object that holds the vectors.
    vectors: Tensor = getattr(features, "pooler_output", features)
    return torch.nn.functional.normalize(vectors.float(), dim=-1).numpy()
