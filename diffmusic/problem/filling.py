"""What a measurement leaves open, filled from its surroundings: a first guess that needs no prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.stft import inverse, spectrum, windows_of
from diffmusic.errors import InputError
from diffmusic.problem.least_squares import regularised_inverse
from diffmusic.problem.operator import HasAdjoint, Operator, has_place, is_linear, sources, spans
from diffmusic.problem.problem import Problem

NO_PLACE = (
    "this solver needs damage that has a place (a gap, a band, a rectangle of the spectrogram); solver diffmusic does "
    "without"
)
_WINDOW = 0.064  # seconds
_RIDGE = 1e-4
_ITERATIONS = 30
_EDGES = 0.2  # part of the bins that may lie at the edges of a band, where some passes
_NEAR = 8  # bins of the band that passes, beside its edge, whose level goes on beyond it


def filling(problem: Problem, samples: int) -> tuple[Tensor, Tensor]:
    """``(x, v)``: what was measured, and what may have been where nothing was, both (batch, channels, samples).

    ``x + a v`` explains the measurement for every ``a``; with ``a = 1`` it is a likely recording. Lost time is filled
    by its two surroundings, each reversed and faded into the other. Of a linear operator that names no place, what it
    lets nothing of through is filled with noise: at the level of what was measured, and beyond the edge of a band that
    passes at the level there, 6 dB an octave weaker.

    Raises:
        InputError: the operator neither names the place of its damage nor keeps a band, or it mixes sources.
    """
    operator, y = problem.operator, problem.cleaned
    if has_place(operator):
        likely = _mirrored(y, spans(operator, samples))
        return y, likely - problem.predict(likely)
    if not is_linear(operator) or sources(operator) > 1:
        raise InputError(NO_PLACE)
    back = _Transposed(operator, samples)
    nothing = y.new_zeros(len(y), y.shape[1], samples)
    measured = regularised_inverse(back, y, nothing, _RIDGE, _ITERATIONS)
    likely = _continued(measured, _passing(back, measured), int(getattr(operator, "sample_rate", 16000)))
    return measured, regularised_inverse(back, y, likely, _RIDGE, _ITERATIONS) - measured


def _mirrored(y: Tensor, lost: Sequence[tuple[int, int]]) -> Tensor:
    """``y`` with every lost stretch ``[a, b)`` filled by ``cos(w) y[2a - t] + sin(w) y[2b - t]``, ``w`` from 0 to a
    quarter turn. Surroundings that are too short are reversed again."""
    filled = y.detach().cpu().double().numpy().copy()
    total = filled.shape[-1]
    for row in filled.reshape(-1, total):
        for number, (start, stop) in enumerate(lost):
            length = stop - start
            # What comes before is filled already; what comes after ends at the next loss.
            after = lost[number + 1][0] if number + 1 < len(lost) else total
            sides = [_reflected(row[:start][::-1], length), _reflected(row[stop:after], length)]
            if sides[0] is None or sides[1] is None:
                known = sides[0] if sides[1] is None else sides[1]
                sides = [known, known]
            if sides[0] is None:
                continue
            angle = np.pi / 2 * (np.arange(length) + 0.5) / length
            row[start:stop] = np.cos(angle) * sides[0] + np.sin(angle) * sides[1][::-1]
    return torch.from_numpy(filled).to(y)


def _reflected(side: np.ndarray, length: int) -> Any:
    """The first ``length`` samples of a side, going to and fro where it is shorter; None where there is none."""
    if not len(side):
        return None
    return np.pad(side[:length], (0, max(0, length - len(side))), mode="symmetric")


def _passing(back: _Transposed, like: Tensor) -> Tensor:
    """Which bins pass, (bins,), by what is left of noise of every frequency."""
    draw = torch.randn(like.shape[1:], generator=torch.Generator().manual_seed(0))[None].to(like)
    left = regularised_inverse(back, back.forward(draw), torch.zeros_like(draw), _RIDGE, _ITERATIONS)
    settings = windows_of(_WINDOW, back.rate)
    power = [spectrum(each, settings).abs().square().flatten(0, -2).mean(0) for each in (left, draw)]
    share = power[0] / power[1]
    if float(((share > 0.1) & (share < 0.8)).float().mean()) > _EDGES:
        raise InputError(NO_PLACE)
    return share > 0.25


def _continued(x: Tensor, passing: Tensor, rate: int) -> Tensor:
    """Noise at the level of ``x``, and in the bins that do not pass at that of the nearest that do, falling upwards."""
    settings = windows_of(_WINDOW, rate)
    level = spectrum(x, settings).abs()
    if bool(passing.any()) and not bool(passing.all()):
        known = passing.nonzero()[:, 0]
        place = torch.arange(len(passing), device=x.device)
        nearest = known[(place[:, None] - known).abs().argmin(1)]
        edges = nearest[~passing].unique()
        around = torch.stack([level[..., known[(known - k).abs() < _NEAR]].mean(-1) for k in edges], -1)
        slope = (nearest / place.clamp(min=1)).clamp(max=1)
        beyond = around[..., torch.searchsorted(edges, nearest).clamp(max=len(edges) - 1)] * slope
        level = torch.where(passing, level, beyond)
    angle = 2 * torch.pi * torch.rand(level.shape[1:], generator=torch.Generator().manual_seed(1)).to(x)
    return inverse(torch.polar(level, angle.expand_as(level)), settings, x.shape[-1])


@dataclass(frozen=True)
class _Transposed:
    """A linear operator with its adjoint, which is made by differentiating where it brings none."""

    operator: Operator
    samples: int

    @property
    def rate(self) -> int:
        return int(getattr(self.operator, "sample_rate", 16000))

    def forward(self, x: Tensor) -> Tensor:
        return self.operator.forward(x)

    def adjoint(self, y: Tensor) -> Tensor:
        if isinstance(self.operator, HasAdjoint):
            return self.operator.adjoint(y)
        with torch.enable_grad():
            leaf = y.new_zeros(*y.shape[:-1], self.samples).requires_grad_()
            (transposed,) = torch.autograd.grad(self.operator.forward(leaf), leaf, y)
        return transposed
