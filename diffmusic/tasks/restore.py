"""From a damaged recording to a restored one: find the damage, solve its surroundings, put the rest back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio import windows
from diffmusic.audio.stereo import Image, Stereo
from diffmusic.errors import Diverged, InputError
from diffmusic.parameters import bind
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.operator import Operator
from diffmusic.problem.problem import Problem
from diffmusic.solver.contract import DirectSolver, Solver
from diffmusic.tasks.excerpts import Progress, Run

GUIDANCE = 4.0
"""How far classifier-free guidance goes where there is a prompt."""


@dataclass(frozen=True)
class Restoration:
    """What came out of a run.

    audio: (samples, channels, time), float64, one restored recording for each posterior sample. Where the operator
    mixes sources, the channels of the first source come first, then those of the second.
    sample_rate: Hz; that of the measurement, unless the operator lowered it.
    windows: the excerpts that were solved, (start, stop) in seconds.
    damage: the intervals that were lost, (start, stop) in samples; the whole recording where the operator names none.
    """

    audio: np.ndarray
    sample_rate: int
    costs: Costs
    windows: tuple[tuple[float, float], ...]
    damage: tuple[tuple[int, int], ...]
    seconds: float


def restore(
    measured: np.ndarray,
    sample_rate: int,
    operator: Operator,
    solver: Solver | DirectSolver,
    backbone: Backbone | Callable[[], Backbone | None] | None = None,
    *,
    steps: int = 25,
    seed: int = 0,
    samples: int = 1,
    prompt: str | Sequence[str] | None = None,
    negative_prompt: str | None = None,
    guidance: float = GUIDANCE,
    noise_std: float = 0.0,
    length: int | None = None,
    finish: bool = True,
    stereo: Stereo = "mid-side",
    extend: bool = True,
    batch: int | None = None,
    progress: Progress | None = None,
) -> Restoration:
    """Restore what was measured: audio, (channels, time) at ``sample_rate`` Hz, full scale 1, or magnitudes,
    (channels, frames, bins).

    backbone: the prior, or what loads it once all else is known to fit; not needed by a classical solver.
    steps: noise levels. samples: restorations to draw, each a function of ``seed`` and its number.
    prompt, negative_prompt: what the music is and is not, for a prior that reads text; one prompt, or one for each
        source. guidance: the weight of classifier-free guidance by them; 1 is none.
    noise_std: deviation of white noise in the measurement, in its units.
    length: samples of the result, where the measurement does not tell.
    finish: put back what was observed (``operator.finish``).
    stereo: whether two channels are solved as mid and side, where the operator is linear, or each by itself.
    extend: fill what lies above the prior's band within a gap (``diffmusic.audio.upper_band``).
    batch: items solved at once; by default one on a CPU, where more gain nothing and change the last bits.
    Raises InputError where operator, audio, solver and prior do not fit together, Diverged if the run blows up.
    """
    started = time.perf_counter()
    bound, y = BoundOperator.of(operator, measured, sample_rate)
    rate, length = bound.rate, length or bound.length(y)
    bound.validate(length)
    costs, spans = Costs(), list[windows.Window]()
    if isinstance(solver, DirectSolver):
        solver = bind(solver, sample_rate=rate)
        raw = _fit(solver.estimate(Problem(bound.operator, bound.items(y))), length).expand(samples, -1, -1, -1)
    else:
        backbone = backbone if backbone is None or isinstance(backbone, Backbone) else backbone()
        if backbone is None:
            raise InputError("this solver needs a prior: give a backbone")
        spans = plan(bound, length, backbone)
        text = _text(backbone, prompt, negative_prompt, bound.sources)
        run = Run(bound, solver, backbone, length, steps, (*text, guidance), noise_std, costs, extend)
        # A prior of several channels hears the image itself.
        image = Image.of(y[0], stereo, backbone.channels == 1 and bound.linear)
        raw = run.estimates(y, image, spans, seed, samples, batch, progress)
    if finish:
        raw = torch.stack([bound.finish(each, bound.items(y)) for each in raw])
    if not bool(torch.isfinite(raw).all()):
        raise Diverged("the estimate is not finite")
    solved = tuple((span.start / rate, span.stop / rate) for span in spans)
    audio = raw.transpose(1, 2).flatten(1, 2).numpy()
    lost = tuple(bound.damage(length))
    return Restoration(audio, rate, costs, solved, lost, time.perf_counter() - started)


def _fit(x: Tensor, length: int) -> Tensor:
    """A direct estimate, cut or padded with silence to ``length`` samples."""
    return torch.nn.functional.pad(x, (0, max(0, length - x.shape[-1])))[..., :length]


def _text(
    backbone: Backbone, prompt: str | Sequence[str] | None, negative: str | None, sources: int
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Conditions and contrasts; no contrast where both passes of guidance would be the same."""
    prompts: list[str | None] = [prompt] if prompt is None or isinstance(prompt, str) else [*prompt]
    if len(prompts) not in (1, sources):
        raise InputError(f"{len(prompts)} prompts for {sources} sources: give one for all, or one for each")
    conditions = tuple(backbone.embed(each) for each in prompts)
    contrasts = tuple(None if (each or "") == (negative or "") else backbone.embed(negative) for each in prompts)
    return conditions, contrasts


def plan(operator: BoundOperator, length: int, backbone: Backbone) -> list[windows.Window]:
    """The windows of a recording that have to be solved. Raises InputError if the damage is too long, or if the
    prior has nothing to add."""
    sample_rate = operator.rate
    lowered = operator.has_own_rate and operator.spectrogram is None
    if lowered and operator.measured_rate >= backbone.sample_rate:
        raise InputError(
            f"the recording at {operator.measured_rate} Hz already holds every frequency that this prior knows, which "
            f"ends at {backbone.sample_rate / 2:g} Hz"
        )
    if not operator.has_damage:
        return [windows.Window(0, length, 0, length)]
    window = round(backbone.excerpt_seconds * sample_rate)
    damage = operator.damage(length)
    for start, stop in damage:
        if stop - start > windows.longest(window):
            raise InputError(
                f"the gap {start / sample_rate:g}:{stop / sample_rate:g} lasts {(stop - start) / sample_rate:g} s; "
                f"this prior bridges at most {windows.longest(window) / sample_rate:.2f} s"
            )
    return windows.plan(damage, length, window)
