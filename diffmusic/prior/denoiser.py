"""Denoiser under prompts: many latents, noise levels and prompts in few calls of the network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from diffmusic.errors import Diverged
from diffmusic.prior.backbone import Costs, HasBatch, LatentModel
from diffmusic.prior.counted import Counted
from diffmusic.prior.guidance import Text
from diffmusic.prior.windowed import Windowed


@dataclass(frozen=True)
class Denoiser:
    """Denoiser for many latents at once, each at its own noise level and under its own text.

    Attributes:
        backbone: ``Windowed`` where latents are longer than it was trained on: windows and latents then share calls.
        batch: latents that go through the network together. One at a time gives the same bits whatever else is in the
            call. None: all that share a level and a condition, as one call; this mode can be differentiated.
    """

    backbone: LatentModel
    costs: Costs
    batch: int | None = 1

    def __call__(self, z: Tensor, sigma: float | Sequence[float], text: Text | Sequence[Text]) -> Tensor:
        """Return ``E[z_0 | z_sigma = z]``, of the shape of ``z``, (latents, channels, frames, ...).

        sigma, text: one for all latents, or one for each. Raises Diverged for what is not finite, with a ``batch``.
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
        levels, conditions = [sigmas[n] for n, _ in rows], [c for _, c in rows]
        answers: Iterable[Tensor]
        if self.batch is None:
            answers = self._together(z, [n for n, _ in rows], levels, conditions)
        else:
            with torch.no_grad():
                answers = self._shared(z[[n for n, _ in rows]], levels, conditions, self.batch)
        parts: list[list[Tensor]] = [[] for _ in texts]
        for (number, _), answer in zip(rows, answers, strict=True):
            parts[number].append(answer)
        joined = torch.stack([each.combine(part) for each, part in zip(texts, parts, strict=True)])
        # The walk that differentiates looks at its own steps, and says which of them left the finite numbers.
        if self.batch is not None and not bool(torch.isfinite(joined).all()):
            raise Diverged(f"the denoised latent is not finite (sigma {max(sigmas):.3g} to {min(sigmas):.3g})")
        return joined

    def _together(
        self, z: Tensor, rows: Sequence[int], sigmas: Sequence[float], conditions: Sequence[Any]
    ) -> list[Tensor]:
        """Denoise rows of ``z``: one call for all that share a noise level and a condition."""
        counted, groups = Counted(self.backbone, self.costs), dict[Any, list[int]]()
        for place, key in enumerate(zip(sigmas, map(id, conditions), strict=True)):
            groups.setdefault(key, []).append(place)
        answers: dict[int, Tensor] = {}
        for places in groups.values():
            own = [rows[place] for place in places]
            given = z if own == [*range(len(z))] else z[own]
            answers |= zip(places, counted.denoise(given, sigmas[places[0]], conditions[places[0]]), strict=True)
        return [answers[place] for place in range(len(rows))]

    def _shared(self, z: Tensor, sigmas: Sequence[float], conditions: Sequence[Any], batch: int) -> Tensor:
        """Denoise ``z``, ``batch`` at a time, whatever their noise levels and conditions; windows count as latents."""
        windowed = self.backbone if isinstance(self.backbone, Windowed) else None
        pieces = windowed.pieces(z) if windowed else [z]
        rows = torch.cat(pieces) if len(pieces) > 1 else z
        levels, texts = [*sigmas] * len(pieces), [*conditions] * len(pieces)
        counted = Counted(windowed.backbone if windowed else self.backbone, self.costs)
        parts = [slice(first, first + batch) for first in range(0, len(rows), batch)]
        answers = torch.cat([self._call(counted, rows[part], levels[part], texts[part]) for part in parts])
        return windowed.joined(answers.chunk(len(pieces)), z) if windowed else answers

    def _call(self, counted: Counted, z: Tensor, sigmas: Sequence[float], conditions: Sequence[Any]) -> Tensor:
        if len(z) > 1 and isinstance(counted.backbone, HasBatch):
            return counted.denoise_batch(z, torch.tensor(sigmas, dtype=torch.float64), conditions)
        answers: list[Tensor] = []
        for _, group in groupby(range(len(z)), key=lambda row: (sigmas[row], id(conditions[row]))):
            rows = list(group)
            answers.append(counted.denoise(z[rows], sigmas[rows[0]], conditions[rows[0]]))
        return torch.cat(answers)
