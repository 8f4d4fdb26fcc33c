"""Recordings, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from diffmusic.audio.files import excerpt
from diffmusic.datasets.contract import Clip
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field


@dataclass(frozen=True)
class Placeholder:
    """Sine tones a semitone apart, from 220 Hz, as an example of recordings.

    For files, ``diffmusic.audio.files.read(path, start, seconds)`` reads an excerpt, ``files.duration(path)`` its
    length.
    """

    count: Annotated[int, Field(ge=1), Doc("how many tones")] = 4
    length: Annotated[float, Field(gt=0), Doc("of each, seconds")] = 5.0
    rate: Annotated[int, Field(ge=8000), Doc("Hz")] = 16000

    def names(self) -> Sequence[str]:
        """List the recordings, in an order that never changes."""
        return [f"tone-{number:02}" for number in range(self.count)]

    def duration(self, name: str, /) -> float:
        """Return the seconds of a recording."""
        return round(self.length * self.rate) / self.rate

    def load(self, name: str, /, start: float = 0.0, seconds: float | None = None) -> Clip:
        """Load one recording, or an excerpt of it."""
        if name not in self.names():
            raise InputError(f"there is no {name!r}: the recordings are {', '.join(self.names())}")
        first, count = excerpt(start, seconds, self.rate, round(self.length * self.rate), name)
        hertz = 220 * 2 ** (self.names().index(name) / 12)
        tone = 0.1 * np.sin(2 * np.pi * hertz * np.arange(first, first + count) / self.rate)
        # A dataset of mixtures gives ``sources`` too, one for edits ``prompt`` and ``target``.
        return Clip(name, tone[None].astype(np.float32), self.rate, start, prompt=f"a sine tone of {hertz:.0f} Hz")
