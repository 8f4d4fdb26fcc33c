"""For each gap the solver that is best for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from diffmusic.audio.repetition import Match
from diffmusic.audio.signal import Patch
from diffmusic.audio.song import Song
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field, build, row
from diffmusic.plugins import registry
from diffmusic.solver import LATENT_SOLVER, Filling, WithPrior

# The linear prediction of a short gap: seconds of context, and order.
_CONTEXT, _ORDER = 0.25, 512
_LEAST = 1.9  # seconds of context, on both sides together, that a distance takes to be believed


@dataclass(frozen=True)
class Auto:
    """Fill short gaps by linear prediction, others by copying where the recording says the same again, and the rest by
    a solver with a prior.

        gap shorter than `short`                         linear prediction from both sides, as `interpolate`
        context distance of the best match below `near`  copied, as `repeat`
        gap longer than `far`, which no prior bridges    copied, however far
        else                                             `prior`

    A distance counts where two seconds of context were compared. The run record says what was chosen, and why.
    `benchmarks/songs.py` measures what they rest on.
    """

    short: Annotated[float, Field(ge=0), Doc("seconds; shorter gaps are filled by linear prediction")] = 0.05
    near: Annotated[float, Field(ge=0), Doc("nats; where the context distance is smaller, the match is copied")] = 0.7
    far: Annotated[float, Field(gt=0), Doc("seconds; longer gaps are copied at any distance")] = 3.0
    prior: Annotated[str, Doc('the solver of the rest, with parameters if need be: "diffmusic rate=0.8"')] = (
        LATENT_SOLVER
    )

    def rest(self) -> WithPrior:
        """The solver of what is left. Raises InputError for one without steps."""
        name, given = row(self.prior)
        solver = build(registry().load("solver", name), given, f"solver {name!r}")
        if not isinstance(solver, WithPrior):
            raise InputError(f"solver 'auto': prior: {self.prior!r} is no solver with a prior")
        return solver

    def fill(self, song: Song) -> Filling:
        """Fill the gaps that need no prior; the notes say what was chosen for each."""
        rate = song.sample_rate
        patches, left, notes = list[Patch](), list[tuple[int, int]](), list[dict[str, Any]]()
        for gap in song.lost:
            begins, ends = gap[0] / rate, gap[1] / rate
            if gap[1] - gap[0] < self.short * rate:
                patches.append(song.predicted(gap, _CONTEXT, _ORDER))
                text = f"{begins:.2f}-{ends:.2f} s: linear prediction, shorter than {self.short:g} s"
                notes.append({"gap": [begins, ends], "solver": "interpolate", "text": text})
                continue
            match = song.match(gap)
            reason = self._against_copying(match, ends - begins)
            if match is not None and reason is None:
                patch, note = song.copied(gap, match)
                patches.append(patch)
                notes.append({"solver": "repeat", **note})
                continue
            left.append(gap)
            text = f"{begins:.2f}-{ends:.2f} s: left to {row(self.prior)[0]}, {reason}"
            distance = match.distance if match else None
            notes.append({"gap": [begins, ends], "solver": row(self.prior)[0], "distance": distance, "text": text})
        return Filling(tuple(patches), tuple(left), tuple(notes))

    def _against_copying(self, match: Match | None, seconds: float) -> str | None:
        """Why a gap is not copied; None where it is."""
        if match is None:
            return "nothing in the recording is long enough to copy"
        if seconds > self.far:
            return None
        if match.compared < _LEAST:
            return f"with {match.compared:.1f} s of context no match can be trusted"
        return (
            None
            if match.distance < self.near
            else f"the nearest context is {match.distance:.2f} away, {self.near:g} is near"
        )
