"""Estimate of a suite's cost before it runs: cells, passes of network and decoder, time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from diffmusic.bench import plan
from diffmusic.bench.fake_backbone import FakeBackbone
from diffmusic.bench.plan import Cell, Model
from diffmusic.bench.progress import duration
from diffmusic.bench.suite import Suite
from diffmusic.errors import DiffmusicError, InputError
from diffmusic.jobs.inputs import damaged
from diffmusic.models.load import load_model, resolve_device
from diffmusic.plugins import Checkpoint, registry
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.problem.operator import HasDamage, sources
from diffmusic.tasks.edit import edit
from diffmusic.tasks.restore import restore

PASSES = ("network_forward", "network_backward", "decoder_forward", "decoder_backward")


@dataclass(frozen=True)
class Expected:
    """Estimated cost of all cells of one prior.

    Attributes:
        model: Name of the prior.
        cells: Number of cells.
        passes: Number of passes, by the names of ``Costs``.
        seconds: Measured time of one pass of each kind; None where the weights are not on this machine.
        gflop: Operations of a second of audio, 1e9: network, decoder, decoder with gradient.
        excerpt: Length of a clip, seconds.
        problems: Rows that cannot be run, with the reason.
    """

    model: str
    cells: int
    passes: Mapping[str, int]
    seconds: Mapping[str, float] | None
    gflop: tuple[float, float, float] | None
    excerpt: float
    problems: Sequence[str]

    def lines(self) -> Iterator[str]:
        """Yield the lines to print."""
        forward, backward, decoded, gradients = (self.passes[name] for name in PASSES)
        yield (
            f"{self.model}: {self.cells} cells, {forward} passes of the network ({backward} with gradient), {decoded} "
            f"of the decoder ({gradients} with gradient)"
        )
        if self.seconds is not None:
            total = sum(self.passes[name] * self.seconds[name] for name in PASSES)
            each = ", ".join(f"{1e3 * self.seconds[name]:.0f}" for name in PASSES)
            yield f"  about {duration(total)} of one worker here, by {each} ms for one of each, forward and backward"
        elif self.gflop is not None:
            network, decoder, gradient = self.gflop
            work = (forward + 2 * backward) * network + (decoded - gradients) * decoder + gradients * gradient
            yield f"  about {work * self.excerpt / 1e3:.0f} TFLOP; its weights are not here, so no pass could be timed"
        else:
            yield "  its weights are not here, so no pass could be timed"
        yield from (f"  {each}" for each in self.problems)


def expected(suite: Suite, given: Sequence[Model]) -> list[Expected]:
    """Estimate the cost of each prior: each row of each problem runs once on a fake backbone, which counts passes."""
    made = []
    cells = list(plan.cells(suite, given, suite.clips.count))
    for model in given:
        checkpoint = checkpoint_of(model.name)
        backbone = _here(model)
        like: Any = backbone or checkpoint
        stand_in = FakeBackbone(like.sample_rate, like.channels, like.excerpt_seconds) if like else FakeBackbone()
        seconds = suite.clips.seconds or stand_in.excerpt_seconds
        own = [each for each in cells if each.task.model == model.name]
        passes, wrong = dict.fromkeys(PASSES, 0), []
        counted: dict[tuple[str, str], Costs | str] = {}
        for each in own:
            key = each.place.problem, each.place.row
            if key not in counted:
                counted[key] = _counted(each, stand_in, suite.clips.rate or stand_in.sample_rate, seconds)
                if isinstance(found := counted[key], str):
                    wrong.append(f"{', '.join(key)}: {found}")
            if isinstance(costs := counted[key], Costs):
                passes = {name: count + getattr(costs, name) for name, count in passes.items()}
        timed = pass_seconds(backbone, seconds) if backbone else None
        gflop = checkpoint.gflop if checkpoint else None
        made.append(Expected(model.name, len(own), passes, timed, gflop, seconds, wrong))
    return made


def checkpoint_of(name: str) -> Checkpoint | None:
    """Find the listed facts of published weights, by the backbone's name or the repository; None if there are none."""
    for listed, spec in registry().components("backbone").items():
        for each in spec.checkpoints:
            if name in (listed, each.repository):
                return each
    return None


def _here(model: Model) -> Backbone | None:
    try:
        return load_model(model.name, resolve_device(model.device), model.dtype, offline=True)
    except InputError:
        if checkpoint_of(model.name) is None:
            raise
        return None


def _counted(each: Cell, stand_in: FakeBackbone, rate: int, seconds: float) -> Costs | str:
    """Count the passes of a cell, or return the reason why it cannot be run."""
    task = each.task
    operator = task.operator.component("operator") if task.operator else None
    # The number of passes depends on the length only through windows and gaps; without either, half a second will do.
    short = seconds <= stand_in.excerpt_seconds and not isinstance(operator, HasDamage)
    samples = round(rate * (min(seconds, 0.5) if short else seconds))
    count = sources(operator) if operator else 1
    if task.kind == "round trip":
        return Costs(encoder_forward=count, decoder_forward=count)
    clean = 0.1 * np.random.default_rng(0).standard_normal((count, samples))
    assert task.solver is not None
    solver, settings = task.solver.component("solver"), task.settings
    try:
        if operator is None:
            return edit(clean, rate, solver, stand_in, settings.editing("target", "source")).costs
        measured, observed, noise = damaged(operator, clean, rate, snr=task.snr)
        run = settings.restoring("prompt", noise_std=noise)
        return restore(measured, observed, operator, solver, stand_in, run, length=samples).costs
    except DiffmusicError as error:
        return str(error)


def pass_seconds(backbone: Backbone, seconds: float) -> dict[str, float]:
    """Measure the seconds of one pass of each kind, at the length of a clip, on one thread."""
    samples = round(min(seconds, backbone.excerpt_seconds) * backbone.sample_rate)
    z = torch.zeros(1, *backbone.latent_shape(samples), device=backbone.device, requires_grad=True)
    condition = backbone.embed(None)
    made = {}
    for part, call in (
        ("network", lambda: backbone.denoise(z, 1.0, condition)),
        ("decoder", lambda: backbone.decode(z, samples)),
    ):
        made[f"{part}_forward"], made[f"{part}_backward"] = _both(call, z)
    return made


def _both(call: Callable[[], torch.Tensor], z: torch.Tensor) -> tuple[float, float]:
    """Time a call, and the extra time of its gradient; the second of two tries counts."""
    for _ in range(2):
        started = time.perf_counter()
        with torch.no_grad():
            float(call().sum())
        forward = time.perf_counter() - started
        started = time.perf_counter()
        (gradient,) = torch.autograd.grad(call().sum(), z)
        float(gradient.sum())
        both = time.perf_counter() - started
    return forward, max(0.0, both - forward)
