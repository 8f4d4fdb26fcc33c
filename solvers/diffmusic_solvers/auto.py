"""For each gap the solver that is best for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from diffmusic.audio.linear_prediction import bridge
from diffmusic.audio.repetition import Match, best_match
from diffmusic.audio.song_features import features
from diffmusic.audio.splice import copied, runs
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field, build, row
from diffmusic.plugins import registry
from diffmusic.problem import HasDamage, Problem, damage
from diffmusic.solver import LATENT_SOLVER, Solver

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
    sample_rate: int = 16000

    def rest(self) -> Solver:
        """The solver of what is left. Raises InputError for one without steps."""
        name, given = row(self.prior)
        solver = build(registry().load("solver", name), given, f"solver {name!r}")
        if not isinstance(solver, Solver):
            raise InputError(f"solver 'auto': prior: {self.prior!r} is no solver with a prior")
        return solver

    def begin(self, problem: Problem) -> tuple[Tensor, list[tuple[int, int]], list[dict[str, Any]]]:
        """The measurement, (batch, channels, time), with the gaps filled that need no prior; those that are left; and
        what was chosen for each gap. Raises InputError for an operator that does not say where its damage is."""
        if not isinstance(problem.operator, HasDamage):
            raise InputError("auto needs an operator that says where its damage is, such as inpainting")
        y, rate = problem.measured, self.sample_rate
        lost = damage(problem.operator, y.shape[-1])
        filled = y.detach().cpu().double().numpy().copy()
        observed = filled.copy()
        for start, stop in lost:
            observed[..., start:stop] = 0
        long = [gap for gap in lost if gap[1] - gap[0] >= self.short * rate]
        searched = [features(item, rate, lost) for item in observed] if long else []
        left, notes = list[tuple[int, int]](), list[dict[str, Any]]()
        for gap in lost:
            begins, ends = gap[0] / rate, gap[1] / rate
            if gap not in long:
                for item, out in zip(observed, filled, strict=True):
                    before, after = (min(round(_CONTEXT * rate), run) for run in runs(lost, y.shape[-1], *gap))
                    for channel, target in zip(item, out, strict=True):
                        sides = channel[gap[0] - before : gap[0]], channel[gap[1] : gap[1] + after]
                        target[gap[0] : gap[1]] = bridge(*sides, gap[1] - gap[0], _ORDER)
                text = f"{begins:.2f}-{ends:.2f} s: linear prediction, shorter than {self.short:g} s"
                notes.append({"gap": [begins, ends], "solver": "interpolate", "text": text})
                continue
            matches = [best_match(found, begins, ends) for found in searched]
            reason = self._against_copying(matches, ends - begins)
            if reason is None:
                for item, out, match in zip(observed, filled, matches, strict=True):
                    assert match is not None
                    out[:, gap[0] : gap[1]], note = copied(item, rate, lost, gap, match)
                    notes.append({"solver": "repeat", **note})
                continue
            left.append(gap)
            distances = [match.distance for match in matches if match]
            text = f"{begins:.2f}-{ends:.2f} s: left to {row(self.prior)[0]}, {reason}"
            distance = max(distances) if distances else None
            notes.append({"gap": [begins, ends], "solver": row(self.prior)[0], "distance": distance, "text": text})
        return torch.from_numpy(filled).to(y), left, notes

    def _against_copying(self, matches: list[Match | None], seconds: float) -> str | None:
        """Why a gap is not copied; None where it is."""
        worst = max((match.distance if match else float("inf")) for match in matches)
        if worst == float("inf"):
            return "nothing in the recording is long enough to copy"
        if seconds > self.far:
            return None
        compared = min(match.compared for match in matches if match)
        if compared < _LEAST:
            return f"with {compared:.1f} s of context no match can be trusted"
        return None if worst < self.near else f"the nearest context is {worst:.2f} away, {self.near:g} is near"
