"""Restoration of a recording: find the damage, restore its surroundings, put the rest back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio import windows
from diffmusic.audio.stereo import StereoTransform
from diffmusic.errors import Diverged, InputError
from diffmusic.parameters import bind
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.progress import ProgressCallback
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.operator import Operator, kept, regions
from diffmusic.problem.problem import Problem
from diffmusic.solver.contract import AnySolver, DirectSolver, Explains, PartialSolver, Solver
from diffmusic.tasks.doubts import doubts
from diffmusic.tasks.excerpts import Run
from diffmusic.tasks.offset import mean_offset
from diffmusic.tasks.result import Result
from diffmusic.tasks.settings import RestoreSettings, several
from diffmusic.tasks.snapshot import StepCallback

DEFAULTS = RestoreSettings()


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
    started = time.perf_counter()
    bound, y = BoundOperator.of(operator, measured, sample_rate)
    rate, length = bound.rate, length or bound.length(y)
    bound.validate(length)
    costs, spans, notes = Costs(), list[windows.Window](), list[dict[str, Any]]()
    doubted, lost = list[str](), tuple(bound.spans(length))
    whole, offset = y, mean_offset(bound, y)
    moved = bool(offset.any())
    y = whole - offset * kept(bound.operator, y.shape[-1]) if moved else whole
    solver = bind(solver, sample_rate=rate)
    problem = Problem(bound.operator, bound.items(y))
    estimate: Tensor | None = None
    if isinstance(solver, PartialSolver):
        if regions(bound.operator, length):
            raise InputError("this solver fills gaps alone: take `solver` mmps for rectangles of the spectrogram")
        estimate, left, notes = solver.begin(problem)
        if left:
            # What is filled in was measured, to the solver of the rest.
            observed = kept(bound.operator, y.shape[-1]) > 0
            bound, y, solver, estimate = bound.only(left), estimate, solver.rest(), None
            whole = torch.where(observed, whole, y + offset * kept(bound.operator, y.shape[-1])) if moved else y
    elif isinstance(solver, DirectSolver):
        estimate, notes = solver.explained(problem) if isinstance(solver, Explains) else (solver.estimate(problem), [])
    if estimate is not None:
        raw = _fit(estimate, length).expand(settings.samples, -1, -1, -1)
    else:
        assert isinstance(solver, Solver)
        backbone = backbone if backbone is None or isinstance(backbone, Backbone) else backbone()
        if backbone is None:
            raise InputError("this solver needs a prior: give a backbone")
        spans = plan(bound, length, backbone)
        text = _text(backbone, settings, bound.sources)
        run = Run(bound, solver, backbone, length, text, settings, costs)
        # A prior of several channels models the stereo image itself.
        stereo = StereoTransform.of(y[0], settings.stereo, backbone.channels == 1 and bound.linear)
        raw = run.estimates(y, stereo, spans, progress, on_step)
        items = bound.items(y)
        doubted = [each for drawn in raw for each in doubts(bound, drawn, items, backbone.sample_rate / 2)]
    raw = raw + offset if moved else raw
    if settings.finish:
        raw = torch.stack([bound.finish(each, bound.items(whole)) for each in raw])
    if not bool(torch.isfinite(raw).all()):
        raise Diverged("the estimate is not finite")
    solved = tuple((span.start / rate, span.stop / rate) for span in spans)
    audio = raw.transpose(1, 2).flatten(1, 2).numpy()
    return Restoration(
        audio=audio,
        sample_rate=rate,
        costs=costs,
        seconds=time.perf_counter() - started,
        windows=solved,
        damage=lost,
        notes=tuple(notes),
        doubts=tuple(dict.fromkeys(doubted)),
    )


def _fit(x: Tensor, length: int) -> Tensor:
    """Cut a direct estimate, or pad it with silence, to ``length`` samples."""
    return torch.nn.functional.pad(x, (0, max(0, length - x.shape[-1])))[..., :length]


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


def plan(operator: BoundOperator, length: int, backbone: Backbone) -> list[windows.Window]:
    """Plan the windows of a recording that have to be restored.

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
    return windows.plan(damage, length, window)
