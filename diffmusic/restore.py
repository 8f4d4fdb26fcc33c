"""From a damaged recording to a restored one: find the damage, solve its surroundings, put the rest back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmusic import problem as problems
from diffmusic.audio import windows
from diffmusic.audio.image import Image, Stereo
from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.audio.resample import resample
from diffmusic.audio.sinc import sinc_resample
from diffmusic.audio.upper_band import extend
from diffmusic.errors import Diverged, InputError
from diffmusic.long import Windowed
from diffmusic.parameters import bind
from diffmusic.prior import Backbone, Costs, Prior
from diffmusic.problem import Problem
from diffmusic.sampling import generator, sample
from diffmusic.solver import DirectSolver

LEVEL = 0.1
"""Root mean square, full scale 1, to which an excerpt is brought for the prior: -20 dBFS."""
GUIDANCE = 2.5
"""How far classifier-free guidance goes where there is a prompt."""

Progress = Callable[[float], None]
"""Called with the part of the work that is done, 0 to 1."""


@dataclass(frozen=True)
class Restoration:
    """What came out of a run.

    audio: (samples, channels, time), float64, one restored recording for each posterior sample. Where the operator
    mixes sources, the channels of the first source come first, then those of the second.
    sample_rate: Hz; that of the measurement, unless the operator lowered it.
    windows: the excerpts that were solved, (start, stop) in seconds.
    """

    audio: np.ndarray
    sample_rate: int
    costs: Costs
    windows: tuple[tuple[float, float], ...]
    seconds: float


def restore(
    measured: np.ndarray,
    sample_rate: int,
    operator: Any,
    solver: Any,
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
    rate = problems.clean_rate(operator, sample_rate)
    operator = bind(operator, sample_rate=rate, measured_rate=sample_rate, offset=0.0)
    y = problems.measurement(operator, torch.from_numpy(np.ascontiguousarray(measured))[None])
    operator = problems.fitted(operator, y)
    length = length or problems.clean_length(operator, y)
    validate(operator, length, rate)
    costs, spans = Costs(), list[windows.Window]()
    if isinstance(solver, DirectSolver):
        solver = bind(solver, sample_rate=rate)
        raw = _fit(solver.estimate(Problem(operator, _items(operator, y))), length).expand(samples, -1, -1, -1)
    else:
        backbone = backbone if backbone is None or isinstance(backbone, Backbone) else backbone()
        if backbone is None:
            raise InputError("this solver needs a prior: give a backbone")
        spans = plan(operator, length, rate, backbone)
        text = _text(backbone, prompt, negative_prompt, problems.sources(operator))
        run = _Run(operator, solver, backbone, rate, length, steps, (*text, guidance), noise_std, costs, extend)
        # A prior of several channels hears the image itself.
        image = Image.of(y[0], stereo, backbone.channels == 1 and problems.is_linear(operator))
        raw = run.estimates(y, image, spans, seed, samples, batch, progress)
    if finish:
        raw = torch.stack([problems.finish(operator, each, _items(operator, y)) for each in raw])
    if not bool(torch.isfinite(raw).all()):
        raise Diverged("the estimate is not finite")
    solved = tuple((span.start / rate, span.stop / rate) for span in spans)
    audio = raw.transpose(1, 2).flatten(1, 2).numpy()
    return Restoration(audio, rate, costs, solved, time.perf_counter() - started)


def _items(operator: Any, y: Tensor) -> Tensor:
    """A measurement (1, channels, ...) as the operator sees it: its channels together, or each a mixture by itself."""
    return y if problems.sources(operator) == 1 else y.transpose(0, 1)


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


def validate(operator: Any, length: int, sample_rate: int) -> None:
    """Raise InputError if the operator does not fit a recording of ``length`` samples, or damages nothing of it."""
    if hasattr(operator, "validate"):
        operator.validate(length / sample_rate)
    if not problems.damage(operator, length):
        raise InputError("nothing is damaged: not one sample of the recording is lost")


def plan(operator: Any, length: int, sample_rate: int, backbone: Backbone) -> list[windows.Window]:
    """The windows of a recording that have to be solved. Raises InputError if the damage is too long, or if the
    prior has nothing to add."""
    measured_rate = getattr(operator, "measured_rate", 0)
    if not hasattr(operator, "stft") and measured_rate >= backbone.sample_rate:
        raise InputError(
            f"the recording at {measured_rate} Hz already holds every frequency that this prior knows, which ends at "
            f"{backbone.sample_rate / 2:g} Hz"
        )
    if not hasattr(operator, "damage"):
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
    """What is the same for every window of a run. ``operator`` is bound to ``rate``, that of the result."""

    operator: Any
    solver: Any
    backbone: Backbone
    rate: int
    length: int
    steps: int
    text: tuple[tuple[Any, ...], tuple[Any, ...], float]
    noise_std: float
    costs: Costs
    extend: bool

    def estimates(
        self,
        measured: Tensor,
        image: Image,
        spans: Sequence[windows.Window],
        seed: int,
        samples: int,
        batch: int | None,
        progress: Progress | None,
    ) -> Tensor:
        """Raw estimates of a measurement (1, channels, ...): for each sample what ``finish`` takes, (1, channels,
        time), or (channels, sources, time). The measurement wherever no window lies."""
        sources, channels = problems.sources(self.operator), measured.shape[1]
        if spans == [windows.Window(0, self.length, 0, self.length)]:
            raw = torch.zeros(samples, channels, sources, self.length, dtype=torch.float64)
        else:
            raw = measured.double().transpose(0, 1).repeat(samples, 1, 1, 1)
        components = image.split(measured[0])
        # What the prior solves at a time: as many channels as it has, of one window, for one posterior sample.
        width = self.backbone.channels
        items = [(draw, first) for draw in range(samples) for first in range(0, channels, width)]
        size = batch or (1 if self.backbone.device.type == "cpu" else 8)
        groups = [items[first : first + size] for first in range(0, len(items), size)]
        jobs = [(number, group) for number in range(len(spans)) for group in groups]
        solved = torch.zeros(0)
        for done, (number, group) in enumerate(jobs):

            def tick(step: int, steps: int, done: int = done) -> None:
                if progress:
                    progress((done + step / steps) / len(jobs))

            span = spans[number]
            # Components share their noise: what is equal in both stays equal, and the stereo image does not wander.
            # Sources do not: they are different music.
            several = range(sources) if sources > 1 else ()
            keys = [(seed, draw, number, *own) for draw, _ in group for own in ([[each] for each in several] or [[]])]
            # Where the recording has fewer channels than the prior, its last one stands for the others too.
            chosen = [[min(first + k, channels - 1) for k in range(width)] for _, first in group]
            estimates = self._solve(components[torch.tensor(chosen)], span, [generator(*key) for key in keys], tick)
            kept = torch.from_numpy(estimates[..., span.keep_start - span.start : span.keep_stop - span.start])
            if group is groups[0]:
                solved = torch.zeros(samples, channels, sources, span.keep_stop - span.keep_start, dtype=torch.float64)
            for (draw, _), own, estimate in zip(group, chosen, kept, strict=True):
                for channel in sorted(set(own)):
                    same = [k for k, other in enumerate(own) if other == channel]
                    solved[draw, channel] = estimate[same].mean(0)
            if group is groups[-1]:
                joined = image.join(solved.transpose(0, 1)).transpose(0, 1)
                raw[..., span.keep_start : span.keep_stop] = joined
        return raw if sources > 1 else raw.transpose(1, 2)

    def _solve(
        self,
        measured: Tensor,
        span: windows.Window,
        generators: Sequence[torch.Generator],
        tick: Callable[[int, int], None],
    ) -> np.ndarray:
        """Estimates of a window, (items, channels, sources, time) at the rate of the result, of measurements (items,
        channels, ...)."""
        rate = self.backbone.sample_rate
        sources, (items, width) = problems.sources(self.operator), measured.shape[:2]
        # Each channel of a mixture is measured by itself: (items * channels, 1, ...).
        operator, y = self._observed(measured if sources == 1 else measured.flatten(0, 1)[:, None], span)
        power = problems.power(operator, y)
        if sources > 1:  # an item has one level, or its stereo image would move
            power = power.reshape(items, width).mean(1).repeat_interleave(width).reshape(-1, 1, 1)
        gain = torch.where(power > 0, power.sqrt() / LEVEL, torch.ones_like(power))
        scale = gain.reshape(-1, *[1] * (y.ndim - 1))
        noise = 0.0 if self.noise_std == 0 else self.noise_std * math.sqrt(min(1, rate / self.rate)) / scale
        problem = Problem(operator, y / scale, gain, self._features(operator), noise)
        samples = math.ceil((span.stop - span.start) * rate / self.rate)
        long = samples > 1.01 * self.backbone.excerpt_seconds * rate  # the windows of ``plan`` are rounded
        backbone = Windowed.of(self.backbone) if long else self.backbone
        prior = Prior(backbone, samples, self.costs, *self.text, sources)
        prior = prior.placed(span.start / self.rate, self.length / self.rate)
        sigmas = backbone.sigmas(self.steps).tolist()
        estimate = sample(self.solver, problem, prior, sigmas, generators, tick)
        # Around pure silence the answer is silence; the prior knows no level so low.
        restored = torch.where(power > 0, estimate * gain, torch.zeros_like(estimate))
        audio = resample(restored.cpu().double().numpy(), rate, self.rate, span.stop - span.start)
        audio = audio.reshape(items, width, sources, audio.shape[-1])
        if not (self.extend and hasattr(self.operator, "damage") and self.rate > rate):
            return audio
        lost = problems.damage(bind(self.operator, offset=span.start / self.rate), span.stop - span.start)
        observed = measured[..., span.start : span.stop].double().numpy()
        for item, channel, source in np.ndindex(audio.shape[:3]):
            audio[item, channel, source] = extend(
                audio[item, channel, source], observed[item, channel], lost, rate / 2, self.rate
            )
        return audio

    def _observed(self, measured: Tensor, span: windows.Window) -> tuple[Any, Tensor]:
        """The operator at the prior's rate, and what it measured of a window, (batch, channels, ...) float32."""
        rate, device = self.backbone.sample_rate, self.backbone.device
        if hasattr(self.operator, "measured_rate"):
            return bind(self.operator, sample_rate=rate), measured.float().to(device)
        operator = bind(self.operator, sample_rate=rate, offset=span.start / self.rate)
        excerpts = measured[..., span.start : span.stop].numpy()
        y = torch.from_numpy(resample(excerpts, self.rate, rate)).float().to(device)
        # Resampling smears what lies inside a gap by a few samples: lose it again.
        return operator, problems.measurement(operator, y) if hasattr(operator, "damage") else y

    def _features(self, operator: Any) -> Callable[[Tensor], Tensor]:
        """``T`` of the vocoder-mel constraint, by what the operator measures."""
        rate = self.backbone.sample_rate
        measured_rate = getattr(operator, "measured_rate", rate)
        if hasattr(operator, "stft"):
            stft = operator.stft
            spec = MelSpec(measured_rate, stft.n_fft, stft.hop, high=min(rate, measured_rate) / 2)
            return LogMel(spec).of_magnitude
        if measured_rate == rate:
            return self.backbone.mel
        return lambda y: self.backbone.mel(sinc_resample(y, measured_rate, rate))
