"""Prompts to conditions: each encoded once, by encoders that are there only while prompts are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from diffmusic.errors import InputError, reason
from diffmusic.models.folder import load_module, quiet

Encode = Callable[[str], Any]
TOKENS = 77
"""Tokens of a caption that CLAP was trained on."""
LONGEST = 1_000_000
"""More tokens than any text: transformers' word for a length that was not stated is larger."""


class Texts:
    """The conditions of prompts. ``load`` makes what encodes one; it is called at the first prompt, kept for the next
    ones, and let go by ``release``, which a backbone calls when it begins to denoise. What was encoded is kept."""

    def __init__(self, load: Callable[[], Encode]) -> None:
        self._load = load
        self._encode: Encode | None = None
        self._known: dict[str, Any] = {}

    def __call__(self, prompt: str | None) -> Any:
        text = prompt or ""
        if text not in self._known:
            if self._encode is None:
                self._encode = self._load()
            with torch.no_grad():
                self._known[text] = self._encode(text)
        return self._known[text]

    @property
    def loaded(self) -> bool:
        """Whether the encoders are in memory."""
        return self._encode is not None

    def release(self) -> None:
        """Free the encoders."""
        self._encode = None


def tokenizer(folder: Path, length: int, kind: str = "AutoTokenizer") -> Any:
    """Return the tokenizer of a folder. Raises InputError for one that cannot be read.

    length: tokens that the model was trained on, for a tokenizer that does not say so.
    """
    import transformers

    if not folder.is_dir():
        raise InputError(f"{folder.parent} is incomplete: {folder.name}/ is missing")
    try:
        with quiet():
            found = getattr(transformers, kind).from_pretrained(folder, local_files_only=True)
    except Exception as error:  # absent files and packages show as all kinds of errors
        raise InputError(f"{folder} holds no tokenizer that can be read: {reason(error)[:300]}") from None
    if found.model_max_length > LONGEST:
        found.model_max_length = length
    return found


def clap_text(folder: Path, device: str, allow_pickle: bool) -> Encode:
    """CLAP's text features of text_encoder/ and tokenizer/, unit vectors (1, dim)."""
    from transformers import ClapTextModelWithProjection

    tokens = tokenizer(folder / "tokenizer", TOKENS, "RobertaTokenizer")
    model = load_module(
        ClapTextModelWithProjection, folder / "text_encoder", device, partial=True, allow_pickle=allow_pickle
    )

    def encode(text: str) -> Any:
        given = tokens(text, padding="max_length", truncation=True, return_tensors="pt").to(device)
        # ClapModel.get_text_features, which these models were trained on, returns unit vectors.
        return torch.nn.functional.normalize(model(**given).text_embeds, dim=-1)

    return encode
