"""Restoration of a recording: find the damage, restore its surroundings, put the rest back."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from diffmusic.audio.signal import Samples, Signal, whole
from diffmusic.audio.spread import Spread, spread
from diffmusic.parameters import bind
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.progress import ProgressCallback
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.operator import Operator, clean_rate
from diffmusic.solver.contract import AnySolver
from diffmusic.tasks.in_passages import solve_in_passages
from diffmusic.tasks.offset import Survey
from diffmusic.tasks.passages import Passages
from diffmusic.tasks.result import Result
from diffmusic.tasks.settings import RestoreSettings
from diffmusic.tasks.snapshot import StepCallback
from diffmusic.tasks.solving import DEFAULTS, Task
from diffmusic.tasks.whole import solve_whole


@dataclass(frozen=True, kw_only=True)
class Restoration(Result):
    """Restored recordings, one for each posterior sample.

    Attributes:
        audio: The restorations, (samples, channels, time). Where the operator mixes sources, the channels of the first
            source come first, then those of the second. The rate is that of the measurement, unless the operator
            lowered it.
        windows: Excerpts that were solved, (start, stop) in seconds.
        damage: Intervals that were lost, (start, stop) in samples; the whole recording where the operator names none.
        notes: Remarks of a direct solver on its estimate (``Explains``).
        doubts: What speaks against the estimates of a prior; none where the solve went well.
    """

    windows: tuple[tuple[float, float], ...]
    damage: tuple[tuple[int, int], ...]
    notes: tuple[dict[str, Any], ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def marks(self) -> tuple[tuple[int, int], ...]:
        """The damage, where the operator names it, (start, stop) in samples."""
        return () if self.damage == ((0, self.audio.shape[-1]),) else self.damage

    @cached_property
    def spread(self) -> Spread | None:
        """How the samples differ, by time and octave band; None for a single one."""
        return spread([Samples(each) for each in self.audio], self.sample_rate, self.damage)

    @property
    def medoid(self) -> int:
        """Number of the sample from which the others differ least: the one to keep if one is kept."""
        return self.spread.order[0] if self.spread else 0


@dataclass(frozen=True, kw_only=True)
class Restored:
    """The same with audio that is read where it is needed.

    Attributes:
        draws: The restorations, one a posterior sample.
    """

    draws: tuple[Signal, ...]
    sample_rate: int
    costs: Costs
    seconds: float
    windows: tuple[tuple[float, float], ...]
    damage: tuple[tuple[int, int], ...]
    notes: tuple[dict[str, Any], ...]
    doubts: tuple[str, ...]

    @property
    def in_memory(self) -> Restoration:
        """All of it as arrays."""
        held = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "draws"}
        return Restoration(audio=np.stack([whole(each) for each in self.draws]), **held)


def restore(
    measured: np.ndarray,
    sample_rate: int,
    operator: Operator,
    solver: AnySolver,
    backbone: Backbone | Callable[[], Backbone | None] | None = None,
    settings: RestoreSettings = DEFAULTS,
    *,
    length: int | None = None,
    progress: ProgressCallback | None = None,
    on_step: StepCallback | None = None,
) -> Restoration:
    """Restore a measurement.

    Args:
        measured: audio, (channels, time), full scale 1, or magnitudes, (channels, frames, bins).
        sample_rate: of the measurement, Hz.
        operator: the damage to invert.
        solver: the method.
        backbone: the prior, or a function that loads it once all else is known to fit; not needed by a classical
            solver.
        settings: everything else.
        length: samples of the result, where the measurement does not determine it.
        progress: callback for the share of the work that is done, 0 to 1.
        on_step: callback after every step; it may ask for the clean estimate so far.

    Raises:
        InputError: operator, audio, solver and prior do not fit together.
        Diverged: the run blew up: an estimate is not finite, or 30 dB off.
    """
    given = Samples(measured) if measured.ndim == 2 else measured
    task = Task(operator, solver, backbone, settings, progress, on_step)
    return restored(given, sample_rate, task, length=length).in_memory


def restored(
    measured: Signal | np.ndarray,
    sample_rate: int,
    task: Task,
    *,
    length: int | None = None,
    survey: Survey | None = None,
) -> Restored:
    """Restore a measurement of which no more is read than is needed.

    Args:
        measured: audio, or magnitudes, (channels, frames, bins).
        sample_rate: of the measurement, Hz.
        task: the damage, the solver, and the rest.
        length: samples of the result, where the measurement does not determine it.
        survey: of the measurement, where it is known.

    Raises:
        InputError: operator, audio, solver and prior do not fit together.
        Diverged: the run blew up: an estimate is not finite, or 30 dB off.
    """
    started = time.perf_counter()
    solver = bind(task.solver, sample_rate=clean_rate(task.operator, sample_rate))
    task = dataclasses.replace(task, solver=solver)
    reach = task.reach(sample_rate)
    if isinstance(measured, np.ndarray) or reach is None:
        audio = measured if isinstance(measured, np.ndarray) else whole(measured)
        bound, y = BoundOperator.of(task.operator, audio, sample_rate)
        length = length or bound.length(y)
        task.check(bound, length)
        solved = solve_whole(bound, y, length, task, audio if audio.ndim == 2 else None)
    else:
        bound, length = BoundOperator.unfitted(task.operator, sample_rate), measured.samples
        task.check(bound, length)
        survey = survey or Survey.of(bound, (torch.from_numpy(block) for block in measured.blocks()))
        passages = Passages(bound, measured, survey.offset, round(reach * bound.rate))
        solved = solve_in_passages(passages, survey, task)
    return Restored(
        draws=tuple(solved.draws),
        sample_rate=bound.rate,
        costs=solved.costs,
        seconds=time.perf_counter() - started,
        windows=tuple((span.start / bound.rate, span.stop / bound.rate) for span in solved.spans),
        damage=tuple(bound.spans(length)),
        notes=tuple(solved.notes),
        doubts=tuple(dict.fromkeys(solved.doubts)),
    )
