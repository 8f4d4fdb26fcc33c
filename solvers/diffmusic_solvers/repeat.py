"""Copying from where the song says again what was lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.signal import Patched, whole
from diffmusic.audio.song import Song
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem import Problem, has_place, spans
from diffmusic.solver import Filling


@dataclass(frozen=True)
class Repeat:
    """Fill each lost stretch with the part of the recording whose surroundings are most like its own.

        x(t) = y(t + s) + fade(t) r(t)   inside a gap,   s = argmin_s D(s)

    ``D`` compares log-mel and chroma of ``context`` seconds on both sides; ``s`` is refined to the sample by
    correlation, ``r`` continues what the copy lacks at the edges (``diffmusic.audio.splice``). Where another source
    fits each side much better than one fits both, the gap is pieced together from two. All channels are moved
    together; nothing is differentiated. Where a rectangle of the spectrogram is lost its whole stretch is copied, and
    finishing takes the rectangle of it. Raises InputError for a gap that nothing in the recording is long enough for.
    Sources: N. Perraudin et al., arXiv:1607.06667; I. Kauppinen and K. Roth, DAFx 2002 (the seams).
    """

    context: Annotated[
        float, Field(gt=0, allow_inf_nan=False), Doc("seconds on either side of a gap that are compared")
    ] = 2.0
    crossfade: Annotated[
        float, Field(ge=0, allow_inf_nan=False), Doc("seconds inside each gap over which a seam fades")
    ] = 0.02
    pieces: Annotated[
        float,
        Field(ge=0, le=1),
        Doc("two sources are taken where their distance is below this part of one's; 0: never"),
    ] = 0.9
    sample_rate: int = 16000

    def estimate(self, problem: Problem) -> Tensor:
        """The measurement, (batch, channels, time), with its lost stretches filled."""
        return self.explained(problem)[0]

    def explained(self, problem: Problem) -> tuple[Tensor, list[dict[str, Any]]]:
        """The estimate, and for each gap of each item what was copied: ``source``, seconds at which it begins,
        ``distance`` of the context, nats, ``correlation`` of the aligned sides, and the ``runner_up``."""
        if not has_place(problem.operator):
            raise InputError("repeat needs an operator that says where its damage is, such as inpainting")
        y = problem.measured
        lost = spans(problem.operator, y.shape[-1])
        songs = [Song.of(item, self.sample_rate, lost) for item in y.detach().cpu().double().numpy()]
        made = [(song, self.fill(song)) for song in songs]
        filled = np.stack([whole(Patched(song.signal, each.patches)) for song, each in made])
        return torch.from_numpy(filled).to(y), [note for _, each in made for note in each.notes]

    def fill(self, song: Song) -> Filling:
        """Fill every gap of a song; the notes are those of ``explained``."""
        patches, notes = [], []
        for gap in song.lost:
            match = song.match(gap, self.context, self.pieces)
            if match is None:
                where = f"{gap[0] / song.sample_rate:g}:{gap[1] / song.sample_rate:g}"
                raise InputError(f"nothing in the recording is long enough to fill the gap {where}")
            patch, note = song.copied(gap, match, self.crossfade)
            patches.append(patch)
            notes.append({"solver": "repeat", **note})
        return Filling(tuple(patches), (), tuple(notes))
