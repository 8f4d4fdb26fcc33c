"""Restoration of a recording of any length: passages around its damage are read and solved, the rest stays on file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.signal import Patch, Patched
from diffmusic.audio.song import Song
from diffmusic.audio.stereo import StereoTransform
from diffmusic.audio.windows import Window
from diffmusic.errors import Diverged
from diffmusic.prior.backbone import Costs
from diffmusic.problem.problem import Problem
from diffmusic.solver.contract import DirectSolver, PartialSolver, SongSolver
from diffmusic.tasks.doubts import doubts
from diffmusic.tasks.excerpts import Run
from diffmusic.tasks.offset import Survey
from diffmusic.tasks.passages import Passage, Passages
from diffmusic.tasks.solving import Solved, Task, plan, searched


def solve_in_passages(passages: Passages, survey: Survey, task: Task) -> Solved:
    """Restore a recording.

    Args:
        passages: The recording and its operator.
        survey: Of all that was measured.
        task: The solver and the rest.

    Raises:
        InputError: Something does not fit.
        Diverged: The run blew up.
    """
    bound, signal, solver, settings = passages.bound, passages.signal, task.solver, task.settings
    costs, notes, doubted = Costs(), list[dict[str, Any]](), list[str]()
    base, highest, parts = signal, None, list(passages)
    spans: Sequence[Window] = ()
    estimate: Callable[[Passage], Tensor] | None = None
    lost = tuple(searched(bound, solver, signal.samples))
    song = Song(Centred(passages), bound.rate, lost) if bound.has_damage or isinstance(solver, SongSolver) else None
    if isinstance(solver, SongSolver):
        assert song
        filling = solver.fill(song)
        notes = list(filling.notes)
        filled = replace(passages, filled=filling.patches)
        estimate = lambda part: filled.centred(part.start, part.stop)[None]  # noqa: E731
        if filling.left:
            assert isinstance(solver, PartialSolver)
            # What is filled in was measured, to the solver of the rest.
            passages, solver, estimate = replace(filled, bound=bound.only(filling.left)), solver.rest(), None
            base, parts = Patched(signal, filled.filled_in), list(passages)
    elif isinstance(solver, DirectSolver):
        estimate = partial(_direct, passages, solver)
    if estimate is None:
        run = task.run(passages.bound, solver, signal.samples, costs, song)
        notes += run.song.notes if run.song else ()
        highest = run.backbone.sample_rate / 2
        spans = plan(passages.bound, signal.samples, run.backbone)
        # A prior of several channels models the stereo image itself.
        apart = run.backbone.channels == 1 and bound.linear
        stereo = StereoTransform.of_products(survey.moved_products, settings.stereo, apart)
        estimate = Walks(run, passages, spans, stereo, task).read
        if not settings.finish:
            kept = [(span.keep_start, span.keep_stop) for span in spans]
            parts = [Passage(*passages.widened(a - passages.reach, b + passages.reach), ((a, b),)) for a, b in kept]
    patches: list[list[Patch]] = [[] for _ in range(settings.samples)]
    for part in parts:
        at = passages.at(part.start)
        raw = estimate(part)
        if highest is not None:
            y, inside = (
                passages.centred(part.start, part.stop),
                (part.own[0][0] - part.start, part.own[-1][1] - part.start),
            )
            doubted += [each for drawn in raw for each in doubts(at, drawn, y, highest, inside)]
        raw = raw + passages.offset if passages.offset.any() else raw
        if settings.finish:
            measured = passages.measured(part.start, part.stop)
            raw = torch.stack([at.finish(each, measured) for each in raw])
        if not bool(torch.isfinite(raw).all()):
            raise Diverged("the estimate is not finite")
        for drawn, kept_of in zip(raw.expand(settings.samples, -1, -1, -1), patches, strict=True):
            found = drawn[0].numpy()
            kept_of += [Patch(a, found[:, a - part.start : b - part.start].copy()) for a, b in part.own]
    draws = [Patched(base, each) for each in patches]
    return Solved(draws, costs, spans, notes, doubted)


def _direct(passages: Passages, solver: DirectSolver, part: Passage) -> Tensor:
    y = passages.centred(part.start, part.stop)
    return solver.estimate(Problem(passages.at(part.start).operator, y))[None]


@dataclass(frozen=True, eq=False)
class Centred:
    """What was measured of a recording, without its offset, as a signal."""

    passages: Passages

    @property
    def channels(self) -> int:
        return self.passages.signal.channels

    @property
    def samples(self) -> int:
        return self.passages.signal.samples

    def read(self, first: int, count: int) -> np.ndarray:
        return self.passages.centred(first, min(first + count, self.samples))[0].numpy()

    def blocks(self) -> Iterator[np.ndarray]:
        return (y[0].numpy() for y in self.passages.centred_blocks())


@dataclass(frozen=True, eq=False)
class Walks:
    """Raw estimates of a solver with a prior; a window is solved when something of it is asked for, and let go when
    what is asked for lies behind it."""

    run: Run
    passages: Passages
    spans: Sequence[Window]
    stereo: StereoTransform
    task: Task
    solved: dict[int, Tensor] = field(default_factory=dict)

    def read(self, part: Passage) -> Tensor:
        """The estimates of a passage, (samples, 1, channels, time), which none that is read later begins before."""
        first, last = part.start, part.stop
        raw = self.passages.centred(first, last).repeat(self.task.settings.samples, 1, 1, 1)
        for number, span in enumerate(self.spans):
            a, b = max(first, span.keep_start), min(last, span.keep_stop)
            if span.keep_stop <= first:
                self.solved.pop(number, None)
            elif a < b:
                if number not in self.solved:
                    self.solved[number] = self._window(number, span)
                found = self.solved[number]
                raw[..., a - first : b - first] = found[..., a - span.keep_start : b - span.keep_start]
        return raw

    def _window(self, number: int, span: Window) -> Tensor:
        def tick(done: float) -> None:
            if self.task.progress:
                self.task.progress((number + done) / len(self.spans))

        y = self.passages.centred(span.start, span.stop)
        return self.run.window(number, span, y, self.stereo, tick, self.task.on_step)
