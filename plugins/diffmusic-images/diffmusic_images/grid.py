"""Images as signals, and places in them."""

from __future__ import annotations

import re
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator
from torch import Tensor

from diffmusic.errors import InputError

BOX = "write LEFT:RIGHT,TOP:BOTTOM in pixels, such as 64:192,32:96"


def rows_of(x: Tensor, columns: int, multiple: int = 1) -> Tensor:
    """Arrange pixels, (batch, channels, pixels), as (batch, channels, rows, columns).

    The last row is completed with zeros, and so are the rows to a ``multiple``.
    """
    missing = -x.shape[-1] % (columns * multiple)
    return torch.nn.functional.pad(x, (0, missing)).unflatten(-1, (-1, columns))


def pixels_of(image: Tensor, count: int | None = None) -> Tensor:
    """Return the first ``count`` pixels of (batch, channels, rows, columns) as (batch, channels, pixels)."""
    return image.flatten(2)[..., :count]


def _parse_box(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+):(\d+),(\d+):(\d+)", value.strip())
    sides = tuple(map(int, found.groups())) if found else (0, 0, 0, 0)
    if sides[0] >= sides[1] or sides[2] >= sides[3]:
        raise ValueError(BOX)
    return sides


Box = Annotated[tuple[int, int, int, int], BeforeValidator(_parse_box)]
"""A box ``(left, right, top, bottom)`` in pixels, its right column and bottom row outside of it."""


def refuse_audio() -> None:
    """Raise InputError: an operator of images was asked to damage a recording."""
    raise InputError("this operator is one for images: diffmusic image solve")
