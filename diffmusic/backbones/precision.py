"""Precision of the network. Decoders always compute in float32: half precision turns their gradients."""

from __future__ import annotations

import torch

from diffmusic.errors import InputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def network_dtype(name: str) -> torch.dtype:
    """Return the dtype of a name; ``auto`` is float32. Raises InputError for an unknown name."""
    if name == "auto":
        return torch.float32
    if name not in DTYPES:
        raise InputError(f"dtype {name!r} is not known; auto, {', '.join(DTYPES)} are")
    return DTYPES[name]
