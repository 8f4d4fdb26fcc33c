"""Interpolation over lost stretches and rectangles: a filling that needs no prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.linear_prediction import bridge
from diffmusic.audio.spectral_repair import Excerpt, repaired
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem import HasDamage, Problem, damage, has_place, regions


@dataclass(frozen=True)
class Interpolate:
    """Interpolation of each gap from the sound on its two sides; nothing is differentiated.

    autoregressive: both sides are extrapolated by linear prediction and crossfaded (Kauppinen and Roth, DAFx
    2002); strong up to some tens of milliseconds, fading to silence in longer gaps. linear: a straight line.

    In a lost rectangle of the spectrogram ``ln |S|`` runs straight from its last bins on one side to its first on the
    other, in every band along time or in every frame along frequency, with phases that are consistent with what lies
    outside (``diffmusic.audio.spectral_repair``).

    Works for any operator that says where its damage is. Raises InputError for one that does not.
    """

    method: Annotated[Literal["autoregressive", "linear"], Doc("how a stretch is bridged")] = "autoregressive"
    along: Annotated[Literal["time", "frequency"], Doc("how a rectangle is bridged")] = "time"
    order: Annotated[int, Field(ge=1), Doc("order of the linear prediction")] = 512
    context: Annotated[
        float, Field(gt=0, allow_inf_nan=False), Doc("seconds on either side that the prediction is fitted to")
    ] = 0.25
    sample_rate: int = 16000

    @property
    def reach(self) -> float:
        """Seconds on either side of what is lost that are looked at."""
        return self.context

    def estimate(self, problem: Problem) -> Tensor:
        """The measurement, (batch, channels, time), with its lost stretches filled."""
        if not has_place(problem.operator):
            raise InputError("interpolate needs an operator that says where its damage is, such as inpainting")
        y = problem.measured
        total = y.shape[-1]
        lost = damage(problem.operator, total) if isinstance(problem.operator, HasDamage) else []
        reach = round(self.context * self.sample_rate)
        filled = y.detach().cpu().double().numpy().copy()
        for row in filled.reshape(-1, total):
            for index, (start, stop) in enumerate(lost):
                first = max(lost[index - 1][1] if index else 0, start - reach)
                last = min(lost[index + 1][0] if index + 1 < len(lost) else total, stop + reach)
                before, after = row[first:start], row[stop:last]
                if self.method == "linear":
                    ends = [before[-1] if len(before) else 0.0, after[0] if len(after) else 0.0]
                    row[start:stop] = np.interp(np.arange(1, stop - start + 1), [0, stop - start + 1], ends)
                else:
                    row[start:stop] = bridge(before, after, stop - start, self.order)
        rectangles = regions(problem.operator, total)
        return repaired(torch.from_numpy(filled).to(y), rectangles, self.sample_rate, self._bridged)

    def _bridged(self, part: Excerpt, given: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitudes across the mask, and phases of noise to begin with."""
        mask = part.mask.numpy()
        levels = given.abs().clamp(min=1e-8).log().detach().cpu().numpy()
        rows = levels.reshape(-1, *mask.shape)
        for each in rows:
            lines, masks = (each, mask) if self.along == "frequency" else (each.T, mask.T)
            for line, inside in zip(lines, masks, strict=True):
                if inside.any() and not inside.all():
                    line[inside] = np.interp(np.flatnonzero(inside), np.flatnonzero(~inside), line[~inside])
        angle = 2 * torch.pi * torch.rand(mask.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        magnitude = torch.from_numpy(levels).to(given.real).exp()
        return magnitude, angle.to(magnitude).expand_as(magnitude)
