"""What a song says again of its gaps, told to a solver with a prior.

The copy that solver ``repeat`` would make is encoded with what surrounds it, and counts as a measurement of the latents
in the gap, ``z_copy = z_0 + rho n``, whose deviation is ``rho = DEVIATION d`` at a context distance of ``d``.
After SimDPS (arXiv:2509.16342), whose candidates enter the likelihood too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffmusic.audio.signal import Patch, put
from diffmusic.audio.song import Interval, Song

SHORTEST = 0.05
"""Seconds of a gap; what surrounds a shorter one tells more than any other place."""
DEVIATION = 0.5
"""Deviation of a copy's latents from the truth's, in units of the latents, by nats of its context distance
(docs/decisions/0028-song-and-prior.md)."""


@dataclass(frozen=True)
class SongContext:
    """Copies of what the song says again, one a gap, as ``repeat`` would make them.

    Attributes:
        patches: The copies, at the rate of the recording.
        deviations: How far the latents of each may be off, in units of the latents.
        notes: Of each, in JSON values.
    """

    patches: tuple[Patch, ...]
    deviations: tuple[float, ...]
    notes: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, song: Song, gaps: Sequence[Interval]) -> SongContext | None:
        """Find what a song says again of some of its gaps; None for nothing. Those shorter than ``SHORTEST``, and those
        that nothing is long enough for, have no copy."""
        found = []
        for gap in gaps:
            match = song.match(gap) if gap[1] - gap[0] >= SHORTEST * song.sample_rate else None
            if match is not None:
                patch, note = song.copied(gap, match)
                note = {**note, "solver": "prior", "text": note["text"].replace("copied from", "the prior hears")}
                found.append((patch, DEVIATION * match.distance, note))
        return cls(*zip(*found, strict=True)) if found else None

    def within(self, measured: Tensor, start: int) -> Tensor:
        """A stretch of the recording, (channels, time), that begins at sample ``start``, with the copies in it."""
        return torch.from_numpy(put(self.patches, measured.numpy().copy(), start))

    def deviation(self, sample: float) -> float:
        """Of the copy that holds a sample of the recording; infinite where none does."""
        there = zip(self.patches, self.deviations, strict=True)
        return next((each for patch, each in there if patch.start <= sample < patch.stop), math.inf)
