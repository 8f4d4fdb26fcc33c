"""Segments of a recording that may change: intervals with soft edges, each with its own prompt and strength."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.parameters import span

_WRITTEN = re.compile(r"(?P<span>[^@=]+)(?:@(?P<strength>[^=]+))?(?:=(?P<prompt>.*))?", re.DOTALL)
HOW = "write START:END, such as 3.0:5.5 or 1:03-1:05.5, or START:END@STRENGTH=PROMPT, such as 3.0:5.5@1.5='a banjo'"


@dataclass(frozen=True)
class Segment:
    """Interval that may change.

    Attributes:
        start: Seconds.
        end: Seconds.
        prompt: Text of the music to be made there; None takes the edit's target.
        strength: Noise level that the edit starts from there; None takes the edit's.
    """

    start: float
    end: float
    prompt: str | None = None
    strength: float | None = None

    @classmethod
    def parse(cls, text: str) -> Segment:
        """Parse ``3.0:5.5``, ``1:03-1:05.5=a banjo``, ``3.0:5.5@1.5`` or ``3.0:5.5@1.5=a banjo``.

        Args:
            text: START:END as ``diffmusic.parameters.span`` takes it, with @STRENGTH and =PROMPT where they are given.

        Returns:
            The segment.

        Raises:
            InputError: The text is none of these, or the interval is empty.
        """
        found = _WRITTEN.fullmatch(text.strip())
        try:
            if not found:
                raise ValueError
            start, end = span(found["span"])
            strength = None if found["strength"] is None else float(found["strength"])
        except ValueError:
            raise InputError(f"`segments` {text!r}: {HOW}") from None
        if not 0 <= start < end < float("inf"):
            raise InputError(f"`segments` {text!r}: it must end after it starts, and start at 0 s or later")
        if strength is not None and not 0 < strength < float("inf"):
            raise InputError(f"`segments` {text!r}: its strength is a noise level above 0")
        return cls(start, end, found["prompt"], strength)

    def window(self, times: np.ndarray, fade: float) -> np.ndarray:
        """Weigh times by the segment: 1 inside, 0 outside; the edges, raised cosines, lie inside.

        Args:
            times: Seconds.
            fade: Seconds of an edge.

        Returns:
            A weight for each time, 0 to 1.
        """
        fade = min(fade, (self.end - self.start) / 2)
        inside = np.minimum(times - self.start, self.end - times)
        if fade <= 0:
            return (inside >= 0).astype(float)
        return 0.5 - 0.5 * np.cos(np.pi * np.clip(inside / fade, 0, 1))


def check(segments: Sequence[Segment], seconds: float) -> None:
    """Raise InputError for segments that overlap or end after the recording."""
    ordered = sorted(segments, key=lambda each: each.start)
    for each in ordered:
        if each.end > seconds + 1e-6:
            raise InputError(f"the segment {each.start:g}:{each.end:g} lies outside the recording of {seconds:.2f} s")
    for before, after in pairwise(ordered):
        if after.start < before.end:
            raise InputError(f"the segments {before.start:g}:{before.end:g} and {after.start:g}:{after.end:g} overlap")


def excerpt(segments: Sequence[Segment], seconds: float, context: float) -> tuple[float, float]:
    """Return the interval to edit: all segments with ``context`` seconds around them; everything if there are none."""
    if not segments:
        return 0.0, seconds
    return (
        max(0.0, min(each.start for each in segments) - context),
        min(seconds, max(each.end for each in segments) + context),
    )


def mask(segments: Sequence[Segment], times: np.ndarray, fade: float) -> np.ndarray:
    """Weigh the edit at each of ``times``: by the segments, or 1 everywhere if there are none."""
    if not segments:
        return np.ones_like(times)
    heard: np.ndarray = np.max([each.window(times, fade) for each in segments], axis=0)
    return heard


def frames(segment: Segment, count: int, rate: float, offset: float, fade: float) -> Tensor:
    """Weigh ``count`` latent frames by a segment; they have ``rate`` a second and begin at ``offset`` seconds."""
    times = offset + (np.arange(count) + 0.5) / rate
    return torch.from_numpy(segment.window(times, fade)).float()
