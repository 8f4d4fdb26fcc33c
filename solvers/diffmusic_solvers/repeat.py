"""Copying from where the song says again what was lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from diffmusic.audio.repetition import best_match
from diffmusic.audio.song_features import features
from diffmusic.audio.splice import copied
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem import HasDamage, Problem, damage


@dataclass(frozen=True)
class Repeat:
    """Fill each lost stretch with the part of the recording whose surroundings are most like its own.

        x(t) = y(t + s) + fade(t) r(t)   inside a gap,   s = argmin_s D(s)

    ``D`` compares log-mel and chroma of ``context`` seconds on both sides; ``s`` is refined to the sample by
    correlation, ``r`` continues what the copy lacks at the edges (``diffmusic.audio.splice``). Where another source
    fits each side much better than one fits both, the gap is pieced together from two. All channels are moved
    together; nothing is differentiated. Raises InputError for a gap that nothing in the recording is long enough for.
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
        if not isinstance(problem.operator, HasDamage):
            raise InputError("repeat needs an operator that says where its damage is, such as inpainting")
        y = problem.measured
        lost = damage(problem.operator, y.shape[-1])
        rate = self.sample_rate
        filled = y.detach().cpu().double().numpy().copy()
        notes = []
        for item in filled:
            observed = item.copy()
            for start, stop in lost:
                observed[:, start:stop] = 0
            found = features(observed, rate, lost)
            for gap in lost:
                match = best_match(found, gap[0] / rate, gap[1] / rate, self.context, self.pieces)
                if match is None:
                    raise InputError(f"nothing in the recording is long enough to fill the gap {_seconds(gap, rate)}")
                item[:, gap[0] : gap[1]], note = copied(observed, rate, lost, gap, match, self.crossfade)
                notes.append({"solver": "repeat", **note})
        return torch.from_numpy(filled).to(y), notes


def _seconds(gap: tuple[int, int], rate: int) -> str:
    return f"{gap[0] / rate:g}:{gap[1] / rate:g}"
