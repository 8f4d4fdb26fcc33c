"""The text embeddings that the UNet learns to follow: those of the text encoder in the package."""

import os
from pathlib import Path

import numpy as np
import torch
from transformers import ClapModel, RobertaTokenizer

from diffmusic.backbones.musicldm import MINI
from training.train_clap import embed_text, tokenize


def released() -> tuple[ClapModel, RobertaTokenizer]:
    """The text encoder and the tokenizer in the package."""
    model = ClapModel.from_pretrained(MINI / "text_encoder", torch_dtype=torch.float32).eval().requires_grad_(False)
    return model, RobertaTokenizer.from_pretrained(MINI / "tokenizer", local_files_only=True)


def embed(model: ClapModel, words: RobertaTokenizer, texts: list[str], batch: int = 512) -> np.ndarray:
    """Unit vectors, (texts, 128) float16."""
    parts = [embed_text(model, *tokenize(words, texts[k : k + batch])) for k in range(0, len(texts), batch)]
    return torch.cat(parts).half().numpy()


def write(path: Path, array: np.ndarray) -> None:
    """Save through a temporary file, so that a reader never sees half of one."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.save(file, array)
    os.replace(temporary, path)
    print(f"{path}  {array.shape}")
