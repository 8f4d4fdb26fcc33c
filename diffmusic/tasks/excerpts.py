"""Excerpts of a recording that a prior restores: converted to its rate, loudness and channels, and joined again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio import level, windows
from diffmusic.audio.noise_spectrum import NoiseSpectrum
from diffmusic.audio.resample import resample
from diffmusic.audio.stereo import StereoTransform
from diffmusic.audio.stft import spectrum
from diffmusic.audio.upper_band import extend
from diffmusic.prior.backbone import Backbone, Costs, HasContext
from diffmusic.prior.levels import frame_rate
from diffmusic.prior.prior import Prior
from diffmusic.prior.progress import ProgressCallback
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.noise import DRAWS, Noise
from diffmusic.problem.operator import regions, seen
from diffmusic.problem.problem import Guess, Problem
from diffmusic.solver.contract import State, Step, WithPrior
from diffmusic.solver.noise import generator
from diffmusic.solver.sampling import sample
from diffmusic.tasks.encoded_recording import whole_or_windowed
from diffmusic.tasks.feature_map import features
from diffmusic.tasks.settings import RestoreSettings
from diffmusic.tasks.snapshot import Snapshot, StepCallback
from diffmusic.tasks.song_context import SongContext


@dataclass(frozen=True)
class Run:
    """Constants of a run, shared by its windows.

    bound: the operator at the rate of the result. noise: of each component of the measurement, where it is told.
    song: what the recording says again of what is lost.
    """

    bound: BoundOperator
    solver: WithPrior
    backbone: Backbone
    length: int
    text: tuple[tuple[Any, ...], tuple[Any, ...], float]
    settings: RestoreSettings
    costs: Costs
    noise: NoiseSpectrum | None = None
    song: SongContext | None = None

    def window(
        self,
        number: int,
        span: windows.Window,
        measured: Tensor,
        stereo: StereoTransform,
        progress: ProgressCallback = lambda done: None,
        on_step: StepCallback | None = None,
    ) -> Tensor:
        """Return raw estimates of a window's kept part, one for each sample.

        Args:
            number: Of the window.
            span: Its place in the recording.
            measured: Its measurement, (1, channels, ...); the whole one where that has a rate of its own.
            stereo: The components that are solved.
            progress: Callback for the share of the window that is done.
            on_step: Callback after every step.

        Returns:
            (samples, ...), of the shape that ``finish`` takes: (1, channels, time), or (channels, sources, time).
        """
        sources, channels, samples = self.bound.sources, measured.shape[1], self.settings.samples
        components = stereo.split(measured[0])
        heard = stereo.split(self.song.within(measured[0], span.start)) if self.song else None
        # The prior solves at a time as many channels as it has, of one window, for one posterior sample.
        width = self.backbone.channels
        items = [(draw, first) for draw in range(samples) for first in range(0, channels, width)]
        size = self.settings.batch or (1 if self.backbone.device.type == "cpu" else 8)
        groups = [items[first : first + size] for first in range(0, len(items), size)]
        kept = slice(span.keep_start - span.start, span.keep_stop - span.start)
        solved = torch.zeros(samples, channels, sources, span.keep_stop - span.keep_start, dtype=torch.float64)
        for turn, group in enumerate(groups):

            def tick(part: float, turn: int = turn) -> None:
                progress((turn + part) / len(groups))

            # Where the recording has fewer channels than the prior, its last one is copied.
            chosen = [[min(first + k, channels - 1) for k in range(width)] for _, first in group]
            rows = torch.tensor(chosen)
            generators = [each for draw, _ in group for each in self._generators(draw, number)]
            drawn = self._drawn(components.shape[1:], span, number, chosen)
            told = None if heard is None else heard[rows]
            estimates = self._solve(components[rows], told, drawn, span, generators, tick, on_step)
            for (draw, _), own, estimate in zip(group, chosen, torch.from_numpy(estimates[..., kept]), strict=True):
                for channel in sorted(set(own)):
                    same = [k for k, other in enumerate(own) if other == channel]
                    solved[draw, channel] = estimate[same].mean(0)
        raw = stereo.join(solved.transpose(0, 1)).transpose(0, 1)
        return raw if sources > 1 else raw.transpose(1, 2)

    def _generators(self, draw: int, window: int) -> list[torch.Generator]:
        """Return the generators of one item: one, or one for each source.

        Components share their noise, so that what is equal in both stays equal and the stereo image does not wander.
        Sources do not, because they are different music.
        """
        key = (self.settings.seed, draw, window)
        return [generator(*key, n) for n in range(self.bound.sources)] if self.bound.sources > 1 else [generator(*key)]

    def _drawn(self, shape: Sequence[int], span: windows.Window, window: int, chosen: list[list[int]]) -> Tensor | None:
        """Draw the noise of a window as it is in the file, (draws, items, channels, ...); complex bins for magnitudes.

        It is a function of the window alone, so that posterior samples share it.
        """
        if self.noise is None:
            return None
        stft = self.bound.spectrogram
        whole = (shape[0] - 1) * stft.hop if stft else shape[-1]
        samples = max(1, whole) if self.bound.has_own_rate else span.stop - span.start
        draws = self.noise.draw(samples, DRAWS, (self.settings.seed, window))
        draws = spectrum(draws, stft) if stft else draws
        return draws[:, torch.tensor(chosen)]

    def _solve(
        self,
        measured: Tensor,
        told: Tensor | None,
        drawn: Tensor | None,
        span: windows.Window,
        generators: Sequence[torch.Generator],
        tick: ProgressCallback,
        on_step: StepCallback | None,
    ) -> np.ndarray:
        """Estimate a window from its own measurements, and from the same with what the song says again in them.

        Measurements are (items, channels, ...), estimates (items, channels, sources, time) at the rate of the result.
        """
        rate = self.backbone.sample_rate
        sources, (items, width) = self.bound.sources, measured.shape[:2]
        # Each channel of a mixture is measured on its own: (items * channels, 1, ...).
        bound, y = self._observed(measured if sources == 1 else measured.flatten(0, 1)[:, None], span)
        noise = None if drawn is None else self._noise(bound, drawn)
        power = bound.power(y) if noise is None else noise.excess(bound.power, y)
        if sources > 1:  # an item has one gain, or its stereo image would move
            power = power.reshape(items, width).mean(1).repeat_interleave(width).reshape(-1, 1, 1)
        gain = level.gain(power)
        scale = gain.reshape(-1, *[1] * (y.ndim - 1))
        compared = features(bound, self.backbone, self.bound.rate)
        problem = Problem(bound.operator, y / scale, gain, compared, noise.over(scale) if noise else 0.0)
        samples = math.ceil((span.stop - span.start) * rate / self.bound.rate)
        if told is not None:
            problem = replace(problem, guess=self._guess(bound, told, span, scale, samples))
        backbone = whole_or_windowed(self.backbone, samples)
        prior = Prior(backbone, samples, self.costs, *self.text, sources, self.settings.projection)
        prior = prior.placed(span.start / self.bound.rate, self.length / self.bound.rate)
        gaps = sources == 1 and bound.has_damage and not bound.has_own_rate
        if gaps and isinstance(backbone, HasContext) and self.settings.context != "none":
            with torch.no_grad():
                prior = prior.given(prior.encode(problem.cleaned), _known(bound, backbone, samples))
        sigmas = backbone.sigmas(self.settings.steps).tolist()

        def watch(step: Step, state: State) -> None:
            done, steps = step.index + 1, len(sigmas) - 1
            tick(done / steps)
            if on_step:
                start, stop = span.start / self.bound.rate, span.stop / self.bound.rate
                on_step(Snapshot(start, stop, done, steps, step.sigma_next, state.z, prior, gain))

        estimate = sample(self.solver, problem, prior, sigmas, generators, watch)
        # Pure silence is answered with silence; the prior knows no level so low.
        restored = torch.where(power > 0, estimate * gain, torch.zeros_like(estimate))
        audio = resample(restored.cpu().double().numpy(), rate, self.bound.rate, span.stop - span.start)
        audio = audio.reshape(items, width, sources, audio.shape[-1])
        if not (self.settings.extend and self.bound.has_place and self.bound.rate > rate):
            return audio
        lost = self.bound.at(self.bound.rate, span.start / self.bound.rate).spans(span.stop - span.start)
        observed = measured.double().numpy()
        for item, channel, source in np.ndindex(audio.shape[:3]):
            audio[item, channel, source] = extend(
                audio[item, channel, source], observed[item, channel], lost, rate / 2, self.bound.rate
            )
        return audio

    def _observed(self, measured: Tensor, span: windows.Window) -> tuple[BoundOperator, Tensor]:
        """Return the operator at the prior's rate, and its measurement of a window, (batch, channels, ...) float32."""
        rate, device = self.backbone.sample_rate, self.backbone.device
        bound = self.bound.at(rate, span.start / self.bound.rate)
        if bound.has_own_rate:
            return bound, measured.float().to(device)
        y = torch.from_numpy(resample(measured.numpy(), self.bound.rate, rate)).float().to(device)
        # Resampling smears what lies inside a gap by a few samples: lose it again.
        return bound, bound.measurement(y) if bound.has_place else y

    def _guess(
        self, bound: BoundOperator, told: Tensor, span: windows.Window, scale: Tensor, samples: int
    ) -> Guess | None:
        """Return what the song says again of a window, at the prior's rate and level; None where it says nothing."""
        assert self.song
        audio = torch.from_numpy(resample(told.numpy(), self.bound.rate, bound.rate)).float().to(scale.device) / scale
        ratio = self.bound.rate / bound.rate
        spans = [(a, b, self.song.deviation(span.start + (a + b) / 2 * ratio)) for a, b in bound.damage(samples)]
        spans += [(a, b, math.inf) for a, b, _, _ in regions(bound.operator, samples)]
        return Guess(audio, spans) if any(rho < math.inf for _, _, rho in spans) else None

    def _noise(self, bound: BoundOperator, drawn: Tensor) -> Noise:
        """Return the noise of a window's items: what became of the file's on the way to the prior's rate."""
        draws = drawn if self.bound.sources == 1 else drawn.flatten(1, 2).unsqueeze(2)
        if bound.has_own_rate:
            kind = torch.complex64 if draws.is_complex() else torch.float32
            return Noise(draws.to(self.backbone.device, kind), bound.measured_rate)
        low = torch.from_numpy(resample(draws.numpy(), self.bound.rate, bound.rate)).float()
        return Noise(low.to(self.backbone.device), bound.rate, seen(bound.operator))


def _known(bound: BoundOperator, backbone: Backbone, samples: int) -> Tensor:
    """1 for latent frames that the damage does not reach, (frames,): not in them, and not in the next one, of which
    the encoder knows too."""
    hop = backbone.sample_rate / frame_rate(backbone)
    known = torch.ones(backbone.latent_shape(samples)[1], device=backbone.device)
    for start, stop in bound.damage(samples):
        known[max(0, math.floor(start / hop) - 1) : math.ceil(stop / hop) + 1] = 0
    return known
