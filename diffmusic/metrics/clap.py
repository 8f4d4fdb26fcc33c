"""CLAP: embeddings of audio and of captions in one space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmusic.backbones.text import TOKENS, tokenizer
from diffmusic.errors import InputError
from diffmusic.metrics.windows import windows
from diffmusic.models.folder import load_module, weights_hash

PROBES = ("a solo piano", "loud drums", "a dog barks", "rain on a roof", "a woman is singing", "electric guitar")
COLLAPSED = 0.98
"""Mean cosine between unrelated captions above which a text tower cannot tell them apart.

Measured on published checkpoints: 0.18 and 0.29, and 0.9993 for one that was converted wrongly.
"""


@dataclass(frozen=True, eq=False)
class Clap:
    """ClapModel with its tokenizer and feature extractor; embeddings are unit vectors.

    name: as it was asked for; folder: of its weights.

    Source: Y. Wu et al., "Large-scale contrastive language-audio pretraining", arXiv:2211.06687.
    """

    model: Any
    tokenizer: Any
    extractor: Any
    name: str = ""
    folder: Path = field(default_factory=Path)

    @classmethod
    def load(cls, folder: Path, name: str | None = None, allow_pickle: bool = False) -> Clap:
        """From the folder of a ClapModel, or that of a pipeline with ``text_encoder``, ``tokenizer`` and
        ``feature_extractor``. Raises InputError for a folder that is neither."""
        from transformers import ClapFeatureExtractor, ClapModel

        pipeline = (folder / "text_encoder").is_dir()
        parts = [folder / part if pipeline else folder for part in ("text_encoder", "tokenizer", "feature_extractor")]
        model = load_module(ClapModel, parts[0], allow_pickle=allow_pickle)
        words = tokenizer(parts[1], TOKENS, "RobertaTokenizer")
        try:
            extractor = ClapFeatureExtractor.from_pretrained(parts[2], local_files_only=True)
        except Exception as error:  # absent files show as all kinds of errors
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{folder} lacks the feature extractor of its CLAP: {reason}") from None
        return cls(model, words, extractor, name or folder.name, parts[0])

    @property
    def length(self) -> int:
        """Samples of a window, at ``extractor.sampling_rate``."""
        return int(self.extractor.nb_max_samples)

    @torch.no_grad()
    def text(self, captions: Sequence[str]) -> np.ndarray:
        """Embed captions: (captions, dimensions)."""
        tokens = self.tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt")
        return _unit(self.model.get_text_features(**tokens))

    @torch.no_grad()
    def audio(self, x: np.ndarray, sample_rate: int, overlap: float = 0.5, tails: bool = False) -> np.ndarray:
        """Embed audio (channels, time): (windows, dimensions).

        The windows are those of ``diffmusic.metrics.windows``, of the model's length. Shorter audio is repeated to fill
        one.
        """
        features = self.features(x, sample_rate, overlap, tails)
        return _unit(self.model.get_audio_features(**features))

    def features(self, x: np.ndarray, sample_rate: int, overlap: float = 0.5, tails: bool = False) -> dict[str, Tensor]:
        """Compute the input of the audio tower. No window is longer than its own, so nothing is cropped at random."""
        rate = self.extractor.sampling_rate
        parts = windows(x, sample_rate, rate, self.length, overlap, tails)
        mels = self.extractor(parts, sampling_rate=rate, return_tensors="pt")["input_features"]
        # By default the extractor of a fused model marks one of its windows as long, at random.
        return {"input_features": mels.float(), "is_longer": torch.zeros(len(parts), 1, dtype=torch.bool)}

    def score(self, x: np.ndarray, sample_rate: int, caption: str, overlap: float = 0.5, tails: bool = False) -> float:
        """Return the CLAP score: the mean over windows of ``cos(audio, caption)``, -1 to 1, higher is better."""
        return float((self.audio(x, sample_rate, overlap, tails) @ self.text([caption])[0]).mean())

    def check_text(self) -> None:
        """Raise InputError if the text tower gives all captions one vector."""
        vectors = self.text(PROBES)
        between = ~np.eye(len(vectors), dtype=bool)
        cosine = float((vectors @ vectors.T)[between].mean())
        if cosine > COLLAPSED:
            raise InputError(
                f"{self.name}: its text tower is collapsed (captions that have nothing in common have a mean cosine of "
                f"{cosine:.4f}), a CLAP score by it means nothing; take another one, such as laion/clap-htsat-unfused"
            )

    def describe(self) -> dict[str, Any]:
        """Describe the model: its name, the hash of its weights, and its windows."""
        rate = self.extractor.sampling_rate
        return {
            "embedding": self.name,
            "sha256": weights_hash(self.folder, ""),
            "sample_rate": rate,
            "window_seconds": self.length / rate,
        }


def _unit(features: Any) -> np.ndarray:
    # Newer versions of transformers return an object that holds the vectors.
    vectors: Tensor = getattr(features, "pooler_output", features)
    return torch.nn.functional.normalize(vectors.float(), dim=-1).numpy()
