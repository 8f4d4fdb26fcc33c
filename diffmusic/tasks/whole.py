"""Restoration of a recording that is in memory: for damage without a place, and solvers that may look at all of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio import windows
from diffmusic.audio.noise_spectrum import NoiseSpectrum
from diffmusic.audio.signal import Patched, Samples, whole
from diffmusic.audio.song import Song
from diffmusic.audio.stereo import StereoTransform
from diffmusic.audio.stft import spectrum
from diffmusic.errors import Diverged
from diffmusic.prior.backbone import Costs
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.noise import DRAWS, Noise
from diffmusic.problem.operator import is_noisy, kept
from diffmusic.problem.problem import Problem
from diffmusic.problem.shrinkage import finished
from diffmusic.solver.contract import DirectSolver, Explains, PartialSolver, SongSolver
from diffmusic.tasks.doubts import doubts
from diffmusic.tasks.excerpts import Run
from diffmusic.tasks.offset import Survey
from diffmusic.tasks.solving import Solved, Task, plan, searched
from diffmusic.tasks.told_noise import told_noise

_DRAWN = 10.0  # seconds
_PASSED = 0.95  # part of a prior's band in which its estimate says something


def solve_whole(bound: BoundOperator, y: Tensor, length: int, task: Task, given: np.ndarray | None = None) -> Solved:
    """Restore a measurement.

    Args:
        bound: The operator, fitted to it.
        y: The measurement, (1, channels, ...), float64.
        length: Samples of the result.
        task: The solver and the rest.
        given: The recording, (channels, time), of which magnitudes were taken.

    Raises:
        InputError: Something does not fit.
        Diverged: The run blew up.
    """
    costs, spans, notes = Costs(), list[windows.Window](), list[dict[str, Any]]()
    doubted, solver, settings = list[str](), task.solver, task.settings
    measured, offset = y, Survey.of(bound, [y[0]]).offset if bound.has_damage and y.ndim == 3 else torch.zeros(1)
    moved = bool(offset.any())
    y = measured - offset * kept(bound.operator, y.shape[-1]) if moved else measured
    estimate: Tensor | None = None
    noise, highest = told_noise(task.settings, bound, y, given), None
    gaps = bound.has_damage and bound.sources == 1 and not bound.has_own_rate and y.ndim == 3
    lost = searched(bound, solver, length)
    song = Song.of(y[0].numpy(), bound.rate, lost) if gaps or isinstance(solver, SongSolver) else None
    if isinstance(solver, SongSolver):
        assert song
        filling = solver.fill(song)
        notes = list(filling.notes)
        estimate = torch.from_numpy(whole(Patched(Samples(y[0].numpy()), filling.patches)))[None]
        if filling.left:
            assert isinstance(solver, PartialSolver)
            # What is filled in was measured, to the solver of the rest.
            observed = kept(bound.operator, y.shape[-1]) > 0
            bound, y, solver, estimate = bound.only(filling.left), estimate, solver.rest(), None
            there = kept(bound.operator, y.shape[-1])
            measured = torch.where(observed, measured, y + offset * there) if moved else y
    elif isinstance(solver, DirectSolver):
        problem = Problem(bound.operator, bound.items(y), noise=_drawn(noise, bound, y) if noise else 0.0)
        estimate, notes = solver.explained(problem) if isinstance(solver, Explains) else (solver.estimate(problem), [])
    if estimate is not None:
        raw = _fit(estimate, length).expand(settings.samples, -1, -1, -1)
    else:
        run = task.run(bound, solver, length, costs, song)
        notes += run.song.notes if run.song else ()
        spans, highest = plan(bound, length, run.backbone, noise is not None), _PASSED * run.backbone.sample_rate / 2
        raw = _estimates(run, y, spans, task, given)
        items = bound.items(y)
        doubted = [each for drawn in raw for each in doubts(bound, drawn, items, run.backbone.sample_rate / 2)]
    raw = raw + offset if moved else raw
    if settings.finish and not (estimate is not None and is_noisy(bound.operator)):
        raw = torch.stack([finished(bound, each, bound.items(measured), noise, highest) for each in raw])
    if not bool(torch.isfinite(raw).all()):
        raise Diverged("the estimate is not finite")
    draws = [Samples(each) for each in raw.transpose(1, 2).flatten(1, 2).numpy()]
    return Solved(draws, costs, spans, notes, doubted)


def _fit(x: Tensor, length: int) -> Tensor:
    """Cut a direct estimate, or pad it with silence, to ``length`` samples."""
    return torch.nn.functional.pad(x, (0, max(0, length - x.shape[-1])))[..., :length]


def _drawn(noise: NoiseSpectrum, bound: BoundOperator, y: Tensor) -> Noise:
    """Draw the noise of a whole measurement, for a solver without a prior: some seconds of it tell its powers."""
    rate, stft = bound.measured_rate, bound.spectrogram
    whole = (y.shape[-2] - 1) * stft.hop if stft else y.shape[-1]
    draws = noise.draw(max(1, min(whole, round(_DRAWN * rate))), DRAWS, (0,))
    draws = (spectrum(draws, stft) if stft else draws)[:, None]
    return Noise(draws if bound.sources == 1 else draws.transpose(1, 2), rate)


def _estimates(
    run: Run, y: Tensor, spans: Sequence[windows.Window], task: Task, given: np.ndarray | None = None
) -> Tensor:
    """Return raw estimates of a measurement (1, channels, ...), one for each sample: (1, channels, time), or
    (channels, sources, time). Outside of all windows it is the measurement."""
    bound, length, samples = run.bound, run.length, task.settings.samples
    # A prior of several channels models the stereo image itself.
    stereo = StereoTransform.of(y[0], task.settings.stereo, run.backbone.channels == 1 and bound.linear)
    run = dataclasses.replace(run, noise=told_noise(task.settings, bound, y, given, stereo))
    if list(spans) == [windows.Window(0, length, 0, length)]:
        shape = (1, y.shape[1]) if bound.sources == 1 else (y.shape[1], bound.sources)
        raw = torch.zeros(samples, *shape, length, dtype=torch.float64)
    else:
        raw = y.double().repeat(samples, 1, 1, 1)
    for number, span in enumerate(spans):

        def tick(done: float, number: int = number) -> None:
            if task.progress:
                task.progress((number + done) / len(spans))

        own = y if bound.has_own_rate else y[..., span.start : span.stop]
        raw[..., span.keep_start : span.keep_stop] = run.window(number, span, own, stereo, tick, task.on_step)
    return raw
