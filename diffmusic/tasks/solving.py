"""What a restoration is asked for, and what comes of it, whether it sees a recording whole or in passages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from diffmusic.audio import windows
from diffmusic.audio.signal import Signal
from diffmusic.audio.song import Song
from diffmusic.errors import InputError
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.progress import ProgressCallback
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.operator import HasReach, Operator, is_noisy, regions
from diffmusic.solver.contract import AnySolver, Explains, Hears, PartialSolver, SongSolver, WithPrior
from diffmusic.tasks.excerpts import Run
from diffmusic.tasks.settings import RestoreSettings, several
from diffmusic.tasks.snapshot import StepCallback
from diffmusic.tasks.song_context import SongContext

DEFAULTS = RestoreSettings()


@dataclass(frozen=True)
class Task:
    """What is to be done with a measurement; the fields are the arguments of ``restore``."""

    operator: Operator
    solver: AnySolver
    backbone: Backbone | Callable[[], Backbone | None] | None = None
    settings: RestoreSettings = DEFAULTS
    progress: ProgressCallback | None = None
    on_step: StepCallback | None = None

    @property
    def noisy(self) -> bool:
        """Whether the measurement has noise that is told, or is to be estimated."""
        return bool(self.settings.noise_std) or self.settings.noise_from is not None or is_noisy(self.operator)

    def reach(self, sample_rate: int) -> float | None:
        """Seconds around damage that the result there depends on; None where it may depend on all of a recording."""
        if self.noisy:  # noise is damage everywhere
            return None
        reach = BoundOperator.unfitted(self.operator, sample_rate).reach
        if reach is None or isinstance(self.solver, WithPrior | SongSolver):
            return reach
        if isinstance(self.solver, Explains) or not isinstance(self.solver, HasReach):
            return None
        return max(reach, self.solver.reach)

    def check(self, bound: BoundOperator, length: int) -> None:
        """Raise InputError where a bound operator does not fit a recording of that many samples, or its solver."""
        bound.validate(length)
        if not isinstance(self.solver, SongSolver):
            return
        if isinstance(self.solver, PartialSolver) and regions(bound.operator, length):
            raise InputError("this solver fills gaps alone: take `solver` mmps for rectangles of the spectrogram")
        if not bound.has_place:
            raise InputError("this solver needs an operator that says where its damage is, such as inpainting")

    def run(
        self,
        bound: BoundOperator,
        solver: AnySolver,
        length: int,
        costs: Costs,
        song: Song | None = None,
    ) -> Run:
        """Prepare the walks of a solver with a prior, which is loaded now.

        song: the recording, where the damage is gaps in it; the prior is told what it says again of them.

        Raises InputError where there is no prior, and for prompts that do not fit the sources.
        """
        assert isinstance(solver, WithPrior)
        backbone = self.backbone if self.backbone is None or isinstance(self.backbone, Backbone) else self.backbone()
        if backbone is None:
            raise InputError("this solver needs a prior: give a backbone")
        text = _text(backbone, self.settings, bound.sources)
        hears = isinstance(solver, Hears) and solver.hears and self.settings.context == "song" and not self.noisy
        heard = SongContext.of(song, bound.damage(length)) if song and hears else None
        return Run(bound, solver, backbone, length, text, self.settings, costs, song=heard)


def searched(bound: BoundOperator, solver: AnySolver, samples: int) -> list[tuple[int, int]]:
    """The stretches that a song is searched for: of solvers that copy those of rectangles too, else gaps alone."""
    return bound.spans(samples) if isinstance(solver, SongSolver) else bound.damage(samples)


@dataclass(frozen=True)
class Solved:
    """What came of a task.

    Attributes:
        draws: The recordings, one a posterior sample.
        costs: Passes of the prior's networks.
        spans: Excerpts that a prior solved.
        notes: Remarks of a solver without a prior.
        doubts: What speaks against the estimates.
    """

    draws: Sequence[Signal]
    costs: Costs
    spans: Sequence[windows.Window] = ()
    notes: Sequence[dict[str, Any]] = ()
    doubts: Sequence[str] = ()


def _text(
    backbone: Backbone, settings: RestoreSettings, sources: int
) -> tuple[tuple[Any, ...], tuple[Any, ...], float]:
    """Embed conditions, contrasts and weight; no contrast where both passes of guidance would be the same."""
    negative = settings.negative_prompt
    prompts: list[str | None] = [*several(settings.prompt)] or [None]
    if len(prompts) not in (1, sources):
        raise InputError(f"{len(prompts)} prompts for {sources} sources: give one for all, or one for each")
    conditions = tuple(backbone.embed(each) for each in prompts)
    contrasts = tuple(None if (each or "") == (negative or "") else backbone.embed(negative) for each in prompts)
    return conditions, contrasts, settings.guidance


def plan(operator: BoundOperator, length: int, backbone: Backbone, noisy: bool = False) -> list[windows.Window]:
    """Plan the windows of a recording that have to be restored; noise that is told is damage everywhere.

    Raises InputError if the damage is too long, or if the prior has nothing to add.
    """
    sample_rate = operator.rate
    lowered = operator.has_own_rate and operator.spectrogram is None
    if lowered and operator.measured_rate >= backbone.sample_rate:
        raise InputError(
            f"the recording at {operator.measured_rate} Hz already holds every frequency that this prior knows, which "
            f"ends at {backbone.sample_rate / 2:g} Hz"
        )
    if not operator.has_place:
        return [windows.Window(0, length, 0, length)]
    window = round(backbone.excerpt_seconds * sample_rate)
    damage = operator.spans(length)
    for start, stop in damage:
        if stop - start > windows.longest(window):
            raise InputError(
                f"the gap {start / sample_rate:g}:{stop / sample_rate:g} lasts {(stop - start) / sample_rate:g} s; "
                f"this prior bridges at most {windows.longest(window) / sample_rate:.2f} s"
            )
    return [windows.Window(0, length, 0, length)] if noisy else windows.plan(damage, length, window)
