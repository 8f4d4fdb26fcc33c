"""Inpainting: stretches of the recording, or rectangles of its spectrogram, are lost."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio import equalise as equaliser
from diffmusic.audio.linear_prediction import extrapolate
from diffmusic.audio.spectral_repair import Excerpt, inside, repaired
from diffmusic.audio.windows import merge
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field, Rectangle, Span
from diffmusic.problem.chain import Chainable

# Finishing extrapolates the observed sound into the gap: seconds of context, and order of the model.
_CONTEXT = 0.1
_ORDER = 256
# Equalising compares these seconds on either side, and needs at least so many in all.
_AROUND = 1.0
_SHORTEST = 0.25


@dataclass(frozen=True)
class Inpainting(Chainable):
    """``y = m (1 - S^T M S / c) m x``: a mask ``m`` in time, 0 where the recording is lost and 1 elsewhere, and a mask
    ``M`` of its STFT ``S``, 1 in the rectangles that are lost and 0 elsewhere.

    Both are functions of absolute time and frequency, so a gap is the same gap at every sample rate and in every
    excerpt. Shapes: ``x`` and ``y`` are (batch, channels, time). The STFT is that of
    ``diffmusic.audio.spectral_repair``.
    """

    gap: Annotated[
        tuple[Span, ...],
        Doc(
            "a lost stretch, seconds from the start; may be repeated; on the command line auto stands for those "
            "that diffmusic detect finds"
        ),
    ] = ()
    region: Annotated[
        tuple[Rectangle, ...], Doc("a lost rectangle of the spectrogram, seconds and Hz (or k); may be repeated")
    ] = ()
    mask: Annotated[
        Literal["gaps", "periodic", "random"],
        Doc("gaps: the stretches given; periodic, random: one loss in every period, at its end or anywhere in it"),
    ] = "gaps"
    period: Annotated[
        float, Field(ge=0.001, allow_inf_nan=False), Doc("seconds between losses of a periodic or random mask")
    ] = 1.0
    fraction: Annotated[float, Field(gt=0, lt=1), Doc("part of each period that is lost")] = 0.1
    mask_seed: Annotated[int, Field(ge=0), Doc("the random mask is a function of it")] = 0
    crossfade: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False),
        Doc("seconds inside each gap over which the observed sound fades into the estimate"),
    ] = 0.02
    equalise: Annotated[bool, Doc("give the estimate the spectral balance that its surroundings show to be right")] = (
        True
    )
    sample_rate: int = 16000
    offset: float = 0.0
    solver: ClassVar[str] = "auto"
    reach: ClassVar[float] = _AROUND

    def __post_init__(self) -> None:
        for start, end in self.gap:
            if not (math.isfinite(start) and math.isfinite(end)):
                raise ValueError(f"gap {start:g}:{end:g} is not a stretch of time")
            if end <= start:
                raise ValueError(f"gap {start:g}:{end:g} ends before it starts")
            if start < 0:
                raise ValueError(f"gap {start:g}:{end:g} starts before the recording does")
        for start, end, low, high in self.region:
            if not (0 <= start < end and 0 <= low < high and math.isfinite(end) and math.isfinite(high)):
                raise ValueError(
                    f"region {start:g}:{end:g}@{low:g}:{high:g} is no rectangle: its times and its frequencies rise "
                    "from 0 or more"
                )

    @classmethod
    def example(cls) -> Inpainting:
        """Return a mask with a loss in any 50 ms, for the contract tests."""
        return cls(mask="random", period=0.05, fraction=0.3)

    def validate(self, seconds: float) -> None:
        """Raise InputError for gaps outside a recording of that length; warn about those that overlap."""
        if self.mask != "gaps" and self.gap:
            raise InputError(f"`gap` and `mask` {self.mask} exclude each other")
        if self.mask == "gaps" and not self.gap and not self.region:
            raise InputError(
                "which stretch is lost? Give `gap` START:END in seconds, `region` START:END@LOW:HIGH in seconds and "
                "Hz, or `mask` periodic|random"
            )
        for start, end, low, high in self.region:
            if end > seconds + 1 / self.sample_rate:
                raise InputError(
                    f"region {start:g}:{end:g}@{low:g}:{high:g} lies outside the recording, which lasts {seconds:.3f} s"
                )
            if low >= self.sample_rate / 2:
                raise InputError(
                    f"region {start:g}:{end:g}@{low:g}:{high:g} lies above what the recording holds, which ends at "
                    f"{self.sample_rate / 2:g} Hz"
                )
        for start, end in self.gap:
            # A cut at the very end, written with rounded seconds, may overshoot by less than a sample.
            if end > seconds + 1 / self.sample_rate:
                raise InputError(f"gap {start:g}:{end:g} lies outside the recording, which lasts {seconds:.3f} s")
        merged = merge(self.gap)
        if len(merged) < len(self.gap):
            spans = ", ".join(f"{start:g}:{end:g}" for start, end in merged)
            warnings.warn(f"overlapping gaps are merged: {spans}", stacklevel=2)
        if sum(min(end, seconds) - start for start, end in self._lost(0.0, seconds)) >= seconds - 1 / self.sample_rate:
            raise InputError("the gaps cover the whole recording: nothing is left to restore it from")

    def _lost(self, begin: float, end: float) -> list[tuple[float, float]]:
        """List lost intervals that touch ``[begin, end]``, in absolute seconds, sorted and disjoint."""
        if self.mask == "gaps":
            spans = list(self.gap)
        else:
            # Slot i depends on (seed, i) alone, so that every excerpt has the same mask.
            first, last = int(begin // self.period), int(end // self.period) + 1
            places = np.random.default_rng(self.mask_seed).random(last)[first:]
            if self.mask == "periodic":
                places = np.ones_like(places)
            starts = (np.arange(first, last) + places * (1 - self.fraction)) * self.period
            spans = [(float(start), float(start + self.fraction * self.period)) for start in starts]
        return merge((start, stop) for start, stop in spans if stop > begin and start < end)

    def damage(self, samples: int) -> list[tuple[int, int]]:
        """Return the lost intervals ``(start, stop)`` of an excerpt of that many samples, in samples."""
        lost = self._lost(self.offset, self.offset + samples / self.sample_rate)
        return merge((self._index(start, samples), self._index(stop, samples)) for start, stop in lost)

    def only(self, spans: Sequence[tuple[int, int]]) -> Inpainting:
        """The same with these lost intervals, in samples, and no others."""
        gap = tuple(
            (start / self.sample_rate + self.offset, stop / self.sample_rate + self.offset) for start, stop in spans
        )
        return dataclasses.replace(self, mask="gaps", gap=gap, region=())

    def regions(self, samples: int) -> list[tuple[int, int, float, float]]:
        """Lost rectangles ``(start, stop, low, high)`` of an excerpt of that many samples, in samples and Hz."""
        placed = [
            (self._index(start, samples), self._index(stop, samples), low, high)
            for start, stop, low, high in self.region
        ]
        return [each for each in placed if each[1] > each[0]]

    def _index(self, seconds: float, samples: int) -> int:
        # Half a sample always goes up, also when it is not exact: an excerpt rounds as the whole file does.
        return min(samples, max(0, math.floor((seconds - self.offset) * self.sample_rate + 0.5 + 1e-6)))

    def _masked(self, x: Tensor) -> Tensor:
        m = torch.ones(x.shape[-1], dtype=x.dtype, device=x.device)
        for start, stop in self.damage(x.shape[-1]):
            m[start:stop] = 0
        return x * m

    def _outside(self, x: Tensor) -> Tensor:
        return x - inside(x, self.regions(x.shape[-1]), self.sample_rate)

    def forward(self, x: Tensor) -> Tensor:
        """``m (1 - S^T M S / c) m x``, (batch, channels, time)."""
        return self._masked(self._outside(self._masked(x))) if self.region else self._masked(x)

    adjoint = forward
    """Each mask is its own transpose, and they come in an order that reads the same backwards."""

    measurement = forward
    """Whatever the file holds inside a gap or a rectangle was not measured."""

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """Put every observed sample back bit for bit.

        A prior's round trip through decoder and vocoder colours the sound. Its effect on the second on either side of a
        gap is known, because that was observed; ``equalise`` undoes it inside, by at most 6 dB in half octaves.

        Inside each gap, over ``crossfade`` seconds from either edge, the sound observed outside is continued
        by linear prediction and fades into the estimate: the estimate's phase differs from the recording's,
        and a hard cut would click. An estimate that kept what was observed around a gap was joined to it by its solver,
        and is left as it is there.

        In a rectangle the estimate's magnitudes take phases that are consistent with the sound around it; bins outside
        keep theirs, and samples that no frame of the rectangle reaches are the recording's bit for bit. Shapes: (batch,
        channels, time), both.
        """
        out = measurement.clone()
        lost = self.damage(measurement.shape[-1])
        equalised = _equalised(estimate, measurement, lost, self.sample_rate) if self.equalise else estimate
        reach = round(_CONTEXT * self.sample_rate)
        for index, (start, stop) in enumerate(lost):
            before = max(lost[index - 1][1] if index else 0, start - reach)
            after = min(lost[index + 1][0] if index + 1 < len(lost) else measurement.shape[-1], stop + reach)
            if all(torch.equal(estimate[..., a:b], measurement[..., a:b]) for a, b in ((before, start), (stop, after))):
                out[..., start:stop] = estimate[..., start:stop]
                continue
            fade = min(round(self.crossfade * self.sample_rate), (stop - start) // 2)
            fill = _continued(equalised[..., start:stop], measurement[..., before:start], fade)
            fill = _continued(fill.flip(-1), measurement[..., stop:after].flip(-1), fade).flip(-1)
            out[..., start:stop] = fill
        if self.region:
            out = repaired(out, self.regions(out.shape[-1]), self.sample_rate, partial(_estimated, estimate))
        return out


def _estimated(estimate: Tensor, part: Excerpt, given: Tensor) -> tuple[Tensor, Tensor]:
    bins = part.bins(estimate[..., part.start : part.stop])
    return bins.abs(), bins.angle()


def _equalised(estimate: Tensor, measurement: Tensor, lost: list[tuple[int, int]], rate: int) -> Tensor:
    """Filter each gap of ``estimate`` to undo the round trip's effect on the second on either side of it."""
    total, reach, shortest = measurement.shape[-1], round(_AROUND * rate), round(_SHORTEST * rate)
    kept = np.ones(total, dtype=bool)
    for start, stop in lost:
        kept[start:stop] = False
    out = estimate.detach().cpu().double().numpy().copy()
    given = out.copy().reshape(-1, total)
    observed = measurement.detach().cpu().double().numpy().reshape(-1, total)
    for start, stop in lost:
        first, last = max(0, start - reach), min(total, stop + reach)
        around = first + np.flatnonzero(kept[first:last])
        if len(around) < shortest:
            continue
        for row, made, true in zip(out.reshape(-1, total), given, observed, strict=True):
            curve = equaliser.gains(made[around], true[around], rate)
            row[start:stop] = equaliser.apply(made[first:last], *curve, rate)[start - first : stop - first]
    return torch.from_numpy(out).to(estimate)


def _continued(fill: Tensor, context: Tensor, fade: int) -> Tensor:
    """Fade the first ``fade`` samples of ``fill`` in from the continuation of ``context``."""
    if not fade or not context.shape[-1]:
        return fill
    rows = context.detach().cpu().double().numpy().reshape(-1, context.shape[-1])
    ahead = np.stack([extrapolate(row, fade, _ORDER) for row in rows])
    continuation = torch.from_numpy(ahead).to(fill).reshape(*fill.shape[:-1], fade)
    rise = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(fade).to(fill) + 0.5) / fade)
    head = rise * fill[..., :fade] + (1 - rise) * continuation
    return torch.cat([head, fill[..., fade:]], dim=-1)
