"""The denoiser that follows prompts: many latents, levels and prompts in few calls of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from diffmusic.errors import Diverged
from diffmusic.prior.backbone import Backbone, Costs, HasBatch
from diffmusic.prior.guidance import Text


@dataclass(frozen=True)
class Denoiser:
    """A backbone that answers for many latents at once, each at its own level and under its own text.

    batch: latents that go through the network together. One at a time gives the same bits whatever else is asked.
    window: frames that the network sees at once; longer latents are denoised in overlapping windows, whose answers are
        blended (O. Bar-Tal et al., "MultiDiffusion", arXiv:2302.08113). None: all frames.
    """

    backbone: Backbone
    costs: Costs
    batch: int = 1
    window: int | None = None

    def __call__(self, z: Tensor, sigma: float | Sequence[float], text: Text | Sequence[Text]) -> Tensor:
        """``E[z_0 | z_sigma = z]``, of the shape of ``z``, (latents, channels, frames, ...).

        sigma, text: one for all latents, or one for each. Raises Diverged for what is not finite.
        """
        sigmas = [float(sigma)] * len(z) if isinstance(sigma, int | float) else [float(each) for each in sigma]
        texts = [text] * len(z) if isinstance(text, Text) else list(text)
        # All latents under their first condition, then under their second: those that share one are neighbours.
        rows = [
            (number, texts[number].passes[turn])
            for turn in range(max(len(each.passes) for each in texts))
            for number in range(len(z))
            if turn < len(texts[number].passes)
        ]
        with torch.no_grad():
            answers = self._windowed(z[[n for n, _ in rows]], [sigmas[n] for n, _ in rows], [c for _, c in rows])
        parts: list[list[Tensor]] = [[] for _ in texts]
        for (number, _), answer in zip(rows, answers, strict=True):
            parts[number].append(answer)
        joined = torch.stack([each.combine(part) for each, part in zip(texts, parts, strict=True)])
        if not bool(torch.isfinite(joined).all()):
            raise Diverged(f"the denoised latent is not finite (sigma {max(sigmas):.3g} to {min(sigmas):.3g})")
        return joined

    def _windowed(self, z: Tensor, sigmas: Sequence[float], conditions: Sequence[Any]) -> Tensor:
        frames = z.shape[2]
        if self.window is None or frames <= self.window:
            return self._batched(z, sigmas, conditions)
        starts, weights = windows(frames, self.window)
        pieces = torch.cat([z[:, :, start : start + self.window] for start in starts])
        answers = self._batched(pieces, [*sigmas] * len(starts), [*conditions] * len(starts)).chunk(len(starts))
        joined = torch.zeros_like(z)
        for start, weight, answer in zip(starts, weights, answers, strict=True):
            shape = (-1, *[1] * (z.ndim - 3))
            joined[:, :, start : start + self.window] += weight.to(z).reshape(shape) * answer
        return joined

    def _batched(self, z: Tensor, sigmas: Sequence[float], conditions: Sequence[Any]) -> Tensor:
        parts = [slice(first, first + self.batch) for first in range(0, len(z), self.batch)]
        return torch.cat([self._call(z[part], sigmas[part], conditions[part]) for part in parts])

    def _call(self, z: Tensor, sigmas: Sequence[float], conditions: Sequence[Any]) -> Tensor:
        self.costs.network_forward += len(z)
        if len(z) > 1 and isinstance(self.backbone, HasBatch):
            self.costs.network_calls += 1
            levels = torch.tensor(sigmas, dtype=torch.float64)
            answer: Tensor = self.backbone.denoise_batch(z, levels, conditions)
            return answer
        answers: list[Tensor] = []
        for _, group in groupby(range(len(z)), key=lambda row: (sigmas[row], id(conditions[row]))):
            rows = list(group)
            self.costs.network_calls += 1
            answers.append(self.backbone.denoise(z[rows], sigmas[rows[0]], conditions[rows[0]]))
        return torch.cat(answers)


def windows(frames: int, length: int, unit: int = 1) -> tuple[list[int], Tensor]:
    """Where overlapping windows of ``length`` frames begin, and their weights, (windows, length * unit), for every one
    of the ``unit`` samples of a frame; over the windows they sum to 1.

    Neighbours overlap by a quarter or more, where the weights rise and fall linearly; the last window ends with the
    frames. It takes ``frames > length``. Solving has other windows (``diffmusic.prior.windowed``): nothing is
    differentiated here, so that those of many latents, levels and prompts share calls, and the latent is as long as the
    recording.
    """
    count = -(-(frames - length) // max(1, length - length // 4)) + 1
    starts = [round(k * (frames - length) / (count - 1)) for k in range(count)]
    size = length * unit
    ramp = torch.minimum(torch.arange(1, size + 1), torch.arange(size, 0, -1)).double()
    ramp = (ramp / (size // 4 + 1)).clamp(max=1)
    total = torch.zeros(frames * unit, dtype=torch.float64)
    for start in starts:
        total[start * unit : start * unit + size] += ramp
    return starts, torch.stack([ramp / total[start * unit : start * unit + size] for start in starts])
