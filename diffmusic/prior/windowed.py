"""Priors for recordings longer than they were trained on: windows over one latent."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from diffmusic.errors import InputError
from diffmusic.prior.backbone import Backbone, HasTemperature

_OVERLAP = 0.25  # of a window, at least
_FADE = 0.1  # of a window's overlap, in its middle, over which decoded windows cross


@dataclass(frozen=True, eq=False)
class Windowed:
    """Backbone whose latent is as long as the recording, and whose network and codec see a window at a time.

        D(z)   = sum_w a_w D_w(z_w) / sum_w a_w          z_w the latent frames of window w, a_w rises over the overlap
        Dec(z) = sum_w b_w Dec_w(z_w)                      b_w crosses in the middle of the overlap, where both windows
                                                           have context and agree

    Windows lie evenly, the last ends with the latent, and neighbours share a quarter or more. There is one latent and
    so one noise field: windows cannot disagree about their common part. Restoring and editing have the same windows.
    Only latents and audio grow with the length; the graph of a window is computed again for the backward pass instead
    of being kept.

    Attributes:
        axis: the latent's axis of time, without batch.
        frames: of a window.
        hop: samples of one latent frame.

    Source of the average: O. Bar-Tal et al., "MultiDiffusion", ICML 2023, arXiv:2302.08113, equation 5.
    """

    backbone: Backbone
    axis: int
    frames: int
    hop: int

    @classmethod
    def of(cls, backbone: Backbone) -> Windowed:
        """Build windows of the length that the backbone was trained on.

        Raises InputError if its latent does not grow in time.
        """
        length = round(backbone.excerpt_seconds * backbone.sample_rate)
        shape, longer = backbone.latent_shape(length), backbone.latent_shape(3 * length)
        growing = [axis for axis, sizes in enumerate(zip(shape, longer, strict=True)) if sizes[0] != sizes[1]]
        if len(growing) != 1:
            raise InputError(f"this prior solves at most {backbone.excerpt_seconds:g} s at a time")
        (axis,) = growing
        low, high = length, 3 * length  # the most samples that the same number of frames covers
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if backbone.latent_shape(middle)[axis] == shape[axis] else (low, middle)
        return cls(backbone, axis, shape[axis], low // shape[axis])

    @property
    def sample_rate(self) -> int:
        return self.backbone.sample_rate

    @property
    def channels(self) -> int:
        return self.backbone.channels

    @property
    def excerpt_seconds(self) -> float:
        return self.backbone.excerpt_seconds

    @property
    def device(self) -> torch.device:
        return self.backbone.device

    @property
    def temperature(self) -> float:
        return self.backbone.temperature if isinstance(self.backbone, HasTemperature) else 1.0

    def sigmas(self, steps: int) -> Tensor:
        return self.backbone.sigmas(steps)

    def mel(self, x: Tensor) -> Tensor:
        return self.backbone.mel(x)

    def embed(self, prompt: str | None) -> Any:
        return self.backbone.embed(prompt)

    def describe(self) -> dict[str, Any]:
        return self.backbone.describe()

    def starts(self, frames: int) -> list[int]:
        """List the starts of the windows over that many latent frames."""
        if frames <= self.frames:
            return [0]
        count = -(-(frames - self.frames) // max(1, self.frames - round(_OVERLAP * self.frames))) + 1
        return [round(k * (frames - self.frames) / (count - 1)) for k in range(count)]

    def calls(self, samples: int) -> int:
        """Count the windows over a recording of that many samples."""
        return len(self.starts(self.latent_shape(samples)[self.axis]))

    def windows(self, z: Tensor) -> int:
        """Count the windows over latents: calls of the network that one ``denoise`` takes."""
        return len(self.starts(z.shape[self.axis + 1]))

    def latent_shape(self, samples: int) -> tuple[int, ...]:
        return self.backbone.latent_shape(max(samples, self.frames * self.hop))

    def pieces(self, z: Tensor) -> list[Tensor]:
        """Cut latents into their windows, one after another."""
        return [self._window(z, start) for start in self.starts(z.shape[self.axis + 1])]

    def joined(self, parts: Iterable[Tensor], like: Tensor) -> Tensor:
        """Join windows: ``sum_w a_w part_w / sum_w a_w``, of the shape of ``like``."""
        size = min(self.frames, like.shape[self.axis + 1])
        ramp = torch.minimum(torch.arange(1, size + 1), torch.arange(size, 0, -1)).to(like)
        ramp = (ramp / (round(_OVERLAP * size) + 1)).clamp(max=1).reshape(-1, *[1] * (like.ndim - self.axis - 2))
        total, weight = torch.zeros_like(like), torch.zeros_like(like)
        for start, part in zip(self.starts(like.shape[self.axis + 1]), parts, strict=True):
            total.narrow(self.axis + 1, start, size).add_(ramp * part)
            weight.narrow(self.axis + 1, start, size).add_(ramp)
        return total / weight

    def _window(self, z: Tensor, start: int) -> Tensor:
        return z.narrow(self.axis + 1, start, min(self.frames, z.shape[self.axis + 1]))

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        denoise = partial(self.backbone.denoise, sigma=sigma, condition=condition)
        return self.joined((_again(denoise, piece) for piece in self.pieces(z)), z)

    def encode(self, x: Tensor) -> Tensor:
        like = x.new_zeros(len(x), *self.latent_shape(x.shape[-1]))
        size = self.frames * self.hop
        starts = self.starts(like.shape[self.axis + 1])
        padded = torch.nn.functional.pad(x, (0, max(0, starts[-1] * self.hop + size - x.shape[-1])))
        parts = (self.backbone.encode(padded[..., start * self.hop : start * self.hop + size]) for start in starts)
        return self.joined((self._window(part, 0) for part in parts), like)

    def decode(self, z: Tensor, samples: int) -> Tensor:
        size, starts = self.frames * self.hop, self.starts(z.shape[self.axis + 1])
        decode = partial(self.backbone.decode, samples=size)
        place, out = torch.arange(size), None
        for number, (start, piece) in enumerate(zip(starts, self.pieces(z), strict=True)):
            audio = _again(decode, piece)
            if out is None:
                out = audio.new_zeros(*audio.shape[:-1], max(samples, starts[-1] * self.hop + size))
            weight = torch.ones(size, dtype=torch.float64)
            if number:
                weight *= _rise(place, starts[number - 1] + self.frames - start, self.hop)
            if start != starts[-1]:
                weight *= _rise(place, start + self.frames - starts[number + 1], self.hop).flip(0)
            out.narrow(-1, start * self.hop, size).add_(weight.to(audio) * audio)
        assert out is not None
        return out[..., :samples]


def _rise(place: Tensor, overlap: int, hop: int) -> Tensor:
    """Rise from 0 to 1 across the middle of an overlap of ``overlap`` frames, at samples counted from its start."""
    fade = max(1, round(_FADE * overlap * hop))
    return ((place - (overlap * hop - fade) / 2 + 0.5) / fade).double().clamp(0, 1)


def _again(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """Return the function's value; where a gradient is wanted, inner values are computed again instead of kept."""

    def alone(z: Tensor) -> Tensor:
        _trim()  # of the window before, in the forward as in the backward pass
        return function(z)

    if not (torch.is_grad_enabled() and z.requires_grad):
        return alone(z)
    result: Tensor = checkpoint(alone, z, use_reentrant=False)
    return result


def _trim() -> None:
    """Return freed memory to the system.

    The kept values of each window lie between freed ones, and glibc would keep all of it: 18 MB a window of the mini
    prior.
    """
    if (malloc_trim := _malloc_trim()) is not None:
        malloc_trim(0)


@cache
def _malloc_trim() -> Any:
    """Return the C library's function of that name; None where it is not glibc."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
