"""From a damaged recording to a restored one: find the damage, solve its surroundings, put the rest back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from diffmusic import problem as problems
from diffmusic.audio import windows
from diffmusic.audio.resample import resample
from diffmusic.errors import Diverged, InputError
from diffmusic.parameters import bind
from diffmusic.prior import Backbone, Costs, Prior
from diffmusic.problem import Problem
from diffmusic.sampling import generator, sample
from diffmusic.solver import DirectSolver

LEVEL = 0.1
"""Root mean square, full scale 1, to which an excerpt is brought for the prior: -20 dBFS."""
WHOLE_SECONDS = 60.0
"""The longest recording that is solved in one piece, where an operator does not say where its damage is."""

Progress = Callable[[float], None]
"""Called with the part of the work that is done, 0 to 1."""


@dataclass(frozen=True)
class Restoration:
    """What came out of a run.

    audio: (samples, channels, time), float64, one restored recording for each posterior sample.
    windows: the excerpts that were solved, (start, stop) in seconds.
    """

    audio: np.ndarray
    costs: Costs
    windows: tuple[tuple[float, float], ...]
    seconds: float


def restore(
    audio: np.ndarray,
    sample_rate: int,
    operator: Any,
    solver: Any,
    backbone: Backbone | None = None,
    *,
    steps: int = 25,
    seed: int = 0,
    samples: int = 1,
    prompt: str | None = None,
    finish: bool = True,
    batch: int | None = None,
    progress: Progress | None = None,
) -> Restoration:
    """Restore ``audio``, (channels, time) at ``sample_rate`` Hz, full scale 1.

    backbone: the prior; not needed by a classical solver. steps: noise levels. samples: restorations to draw,
    each a function of ``seed`` and its number. finish: put back what was observed (``operator.finish``).
    batch: items solved at once; by default one on a CPU, where more gain nothing and change the last bits.
    Raises InputError where operator, audio, solver and prior do not fit together, Diverged if the run blows up.
    """
    started = time.perf_counter()
    operator = bind(operator, sample_rate=sample_rate, offset=0.0)
    validate(operator, audio.shape[-1], sample_rate)
    measured = problems.measurement(operator, torch.from_numpy(np.ascontiguousarray(audio))[None])
    costs = Costs()
    if isinstance(solver, DirectSolver):
        solver = bind(solver, sample_rate=sample_rate)
        raw = solver.estimate(Problem(operator, measured)).repeat(samples, 1, 1)
        spans: list[windows.Window] = []
    else:
        if backbone is None:
            raise InputError("this solver needs a prior: give a backbone")
        spans = plan(operator, audio.shape[-1], sample_rate, backbone)
        run = _Run(operator, solver, backbone, sample_rate, steps, prompt, costs)
        raw = run.estimates(measured, spans, seed, samples, batch, progress)
    if finish:
        raw = torch.cat([problems.finish(operator, each[None], measured) for each in raw])
    if not bool(torch.isfinite(raw).all()):
        raise Diverged("the estimate is not finite")
    solved = tuple((span.start / sample_rate, span.stop / sample_rate) for span in spans)
    return Restoration(raw.numpy(), costs, solved, time.perf_counter() - started)


def validate(operator: Any, length: int, sample_rate: int) -> None:
    """Raise InputError if the operator does not fit a recording of ``length`` samples, or damages nothing of it."""
    if hasattr(operator, "validate"):
        operator.validate(length / sample_rate)
    if not problems.damage(operator, length):
        raise InputError("nothing is damaged: not one sample of the recording is lost")


def plan(operator: Any, length: int, sample_rate: int, backbone: Backbone) -> list[windows.Window]:
    """The windows of a recording that have to be solved. Raises InputError if the damage is too long."""
    if not hasattr(operator, "damage"):
        if length > WHOLE_SECONDS * sample_rate:
            raise InputError(
                f"this operator damages the whole recording, which is solved in one piece of at most "
                f"{WHOLE_SECONDS:g} s; the recording lasts {length / sample_rate:.1f} s"
            )
        return [windows.Window(0, length, 0, length)]
    window = round(backbone.excerpt_seconds * sample_rate)
    damage = problems.damage(operator, length)
    for start, stop in damage:
        if stop - start > windows.longest(window):
            raise InputError(
                f"the gap {start / sample_rate:g}:{stop / sample_rate:g} lasts {(stop - start) / sample_rate:g} s; "
                f"this prior bridges at most {windows.longest(window) / sample_rate:.2f} s"
            )
    return windows.plan(damage, length, window)


@dataclass(frozen=True)
class _Run:
    """What is the same for every window of a run."""

    operator: Any
    solver: Any
    backbone: Backbone
    sample_rate: int
    steps: int
    prompt: str | None
    costs: Costs

    def estimates(
        self,
        measured: torch.Tensor,
        spans: Sequence[windows.Window],
        seed: int,
        samples: int,
        batch: int | None,
        progress: Progress | None,
    ) -> torch.Tensor:
        """Raw estimates, (samples, channels, time): the measurement wherever no window lies."""
        raw = measured.repeat(samples, 1, 1)
        condition = self.backbone.embed(self.prompt)
        # What the prior solves at a time: one channel of one window, for one posterior sample.
        items = [(draw, channel) for draw in range(samples) for channel in range(measured.shape[1])]
        size = batch or (1 if self.backbone.device.type == "cpu" else 8)
        groups = [items[first : first + size] for first in range(0, len(items), size)]
        jobs = [(number, group) for number in range(len(spans)) for group in groups]
        for done, (number, group) in enumerate(jobs):

            def tick(step: int, steps: int, done: int = done) -> None:
                if progress:
                    progress((done + step / steps) / len(jobs))

            span = spans[number]
            excerpts = measured[0, [channel for _, channel in group], span.start : span.stop].numpy()
            # Channels share their noise: what is equal in both stays equal, and the stereo image does not wander.
            generators = [generator(seed, draw, number) for draw, _ in group]
            estimates = self._solve(excerpts, span.start / self.sample_rate, generators, condition, tick)
            kept = torch.from_numpy(estimates[:, span.keep_start - span.start : span.keep_stop - span.start])
            for (draw, channel), estimate in zip(group, kept, strict=True):
                raw[draw, channel, span.keep_start : span.keep_stop] = estimate
        return raw

    def _solve(
        self,
        excerpts: np.ndarray,
        offset: float,
        generators: Sequence[torch.Generator],
        condition: Any,
        tick: Callable[[int, int], None],
    ) -> np.ndarray:
        """Estimates of excerpts, (items, time), at the recording's own rate and level."""
        rate = self.backbone.sample_rate
        operator = bind(self.operator, sample_rate=rate, offset=offset)
        low = torch.from_numpy(resample(excerpts, self.sample_rate, rate)).float()
        y = problems.measurement(operator, low[:, None]).to(self.backbone.device)
        power = _observed_power(operator, y)
        gain = torch.where(power > 0, power.sqrt() / LEVEL, torch.ones_like(power))
        problem = Problem(operator, y / gain, gain, self.backbone.mel)
        prior = Prior(self.backbone, low.shape[-1], self.costs, condition)
        sigmas = self.backbone.sigmas(self.steps).tolist()
        estimate = sample(self.solver, problem, prior, sigmas, generators, tick)
        # Around pure silence the answer is silence; the prior knows no level so low.
        restored = torch.where(power > 0, estimate * gain, torch.zeros_like(estimate))
        return resample(restored[:, 0].cpu().double().numpy(), rate, self.sample_rate, excerpts.shape[-1])


def _observed_power(operator: Any, y: torch.Tensor) -> torch.Tensor:
    """Mean square of each item over the samples that were observed, (items, 1, 1)."""
    lost = 0
    if hasattr(operator, "damage"):
        lost = sum(stop - start for start, stop in problems.damage(operator, y.shape[-1]))
    return (y.square().flatten(1).sum(1) / max(1, y[0].numel() - lost)).reshape(-1, 1, 1)
