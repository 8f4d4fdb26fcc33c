"""Prompts, and the denoiser that follows them: many latents, levels and prompts in few calls of the network.

Classifier-free guidance (J. Ho and T. Salimans, arXiv:2207.12598) is the same in the frame ``z_sigma = z_0 + sigma n``
as in the network's own. With several prompts, each over its stretch of time ``M_i`` (``sum_i M_i = 1``):

    D = D_u + w (sum_i M_i D_i - D_u)

(H. Manor and T. Michaeli, "Zero-shot unsupervised and text-based audio editing using DDPM inversion",
arXiv:2402.10009, the released code's multi-prompt guidance).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from diffmusic.errors import Diverged
from diffmusic.prior import Backbone, Costs


@dataclass(frozen=True)
class Text:
    """What the music is said to be.

    conditions: embedded prompts, one or several.
    contrast: what guidance steers away from (the empty or a negative prompt, embedded); None leaves guidance out.
    guidance: its weight ``w``.
    masks: where each of several prompts holds, latents' frames, (prompts, frames), summing to 1 over the prompts.
    """

    conditions: tuple[Any, ...] = (None,)
    contrast: Any = None
    guidance: float = 1.0
    masks: Tensor | None = None

    @property
    def guided(self) -> bool:
        """Whether the contrast takes part."""
        return self.contrast is not None and self.guidance != 1

    @property
    def passes(self) -> tuple[Any, ...]:
        """The conditions that the network runs under, each once."""
        return (*self.conditions, self.contrast) if self.guided else self.conditions

    def combine(self, parts: Sequence[Tensor]) -> Tensor:
        """``D`` of one latent, (channels, frames, ...), from that under each of ``passes``."""
        clean = parts[0]
        if self.masks is not None:
            shape = (1, -1, *[1] * (clean.ndim - 2))
            clean = torch.stack([m.to(p).reshape(shape) * p for m, p in zip(self.masks, parts, strict=False)]).sum(0)
        return parts[-1] + self.guidance * (clean - parts[-1]) if self.guided else clean


class Embedder:
    """Embeds every prompt once, so that texts with the same prompt hold the same object.

    start, seconds: the place of the excerpt in a recording of that length, for a backbone that wants to know
    (``placed(condition, start, seconds)``).
    """

    def __init__(self, backbone: Any, start: float = 0.0, seconds: float = 0.0) -> None:
        self._backbone, self._place = backbone, (start, seconds)
        self._known: dict[str, Any] = {}

    def __call__(self, prompt: str | None) -> Any:
        if (prompt or "") not in self._known:
            condition = self._backbone.embed(prompt)
            if condition is not None and hasattr(self._backbone, "placed"):
                condition = self._backbone.placed(condition, *self._place)
            self._known[prompt or ""] = condition
        return self._known[prompt or ""]

    def text(self, prompt: str | None, negative: str | None = None, guidance: float = 1.0) -> Text:
        """A text of one prompt; without a contrast where both passes of guidance would be the same."""
        same = (prompt or "") == (negative or "")
        return Text((self(prompt),), None if same else self(negative), guidance)


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
        if len(z) > 1 and hasattr(self.backbone, "denoise_batch"):
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
    frames. It takes ``frames > length``. Solving has other windows (``diffmusic.long``): nothing is differentiated
    here, so that those of many latents, levels and prompts share calls, and the latent is as long as the recording.
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


Tick = Callable[[float], None]
"""Called with the part of the work that is done, 0 to 1."""
