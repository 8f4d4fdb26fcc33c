"""Recordings longer than what a prior was trained on, solved whole: windows over one latent."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from diffmusic.errors import InputError
from diffmusic.prior.backbone import Backbone

_OVERLAP = 0.25  # of a window
_FADE = 0.1  # of the overlap, in its middle, over which decoded windows cross


@dataclass(frozen=True, eq=False)
class Windowed:
    """A backbone whose latent is as long as the recording, and whose network and decoder see a window at a time.

        D(z)   = sum_w a_w D_w(z_w) / sum_w a_w          z_w the latent frames of window w, a_w rises over the overlap
        Dec(z) = sum_w b_w Dec_w(z_w)                      b_w crosses in the middle of the overlap, where both windows
                                                           have context and agree

    There is one latent and so one noise field: windows cannot disagree about what is in both. Nothing but latents and
    audio grows with the length; the graph of a window is made again for the backward pass instead of being kept.
    Editing has other windows (``diffmusic.prior.denoiser.windows``): here a misfit of the whole file is differentiated
    through network and decoder, so that windows pass one at a time, over a latent padded to equal strides.
    Source of the average: O. Bar-Tal et al., "MultiDiffusion", ICML 2023, arXiv:2302.08113, equation 5.

    axis: the latent's axis of time, without batch. frames: of a window. hop: samples a latent frame stands for.
    """

    backbone: Backbone
    axis: int
    frames: int
    hop: int

    @classmethod
    def of(cls, backbone: Backbone) -> Windowed:
        """Windows of the length the backbone was trained on. Raises InputError if its latent does not grow in time."""
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

    def sigmas(self, steps: int) -> Tensor:
        return self.backbone.sigmas(steps)

    def mel(self, x: Tensor) -> Tensor:
        return self.backbone.mel(x)

    def embed(self, prompt: str | None) -> Any:
        return self.backbone.embed(prompt)

    def describe(self) -> dict[str, Any]:
        return self.backbone.describe()

    @property
    def overlap(self) -> int:
        """Latent frames that neighbouring windows share."""
        return round(_OVERLAP * self.frames)

    @property
    def _stride(self) -> int:
        return self.frames - self.overlap

    def calls(self, samples: int) -> int:
        """Windows of a recording of that many samples: passes of the network that one ``denoise`` takes."""
        return 1 + max(0, math.ceil((math.ceil(samples / self.hop) - self.frames) / self._stride))

    def latent_shape(self, samples: int) -> tuple[int, ...]:
        shape = list(self.backbone.latent_shape(self.frames * self.hop))
        shape[self.axis] = self.frames + (self.calls(samples) - 1) * self._stride
        return tuple(shape)

    def _starts(self, z: Tensor) -> range:
        return range(0, z.shape[self.axis + 1] - self.frames + 1, self._stride)

    def _window(self, z: Tensor, start: int) -> Tensor:
        return z.narrow(self.axis + 1, start, self.frames)

    def _average(self, parts: Callable[[int], Tensor], starts: range, like: Tensor) -> Tensor:
        """``sum_w a_w part_w / sum_w a_w`` in the latent."""
        overlap = self.overlap
        rise = (torch.arange(self.frames, dtype=like.dtype, device=like.device) + 0.5) / max(1, overlap)
        ramp = torch.minimum(rise, rise.flip(0)).clamp(max=1)
        ramp = ramp.reshape(-1, *[1] * (like.ndim - self.axis - 2))
        total, weight = torch.zeros_like(like), torch.zeros_like(like)
        for start in starts:
            total.narrow(self.axis + 1, start, self.frames).add_(ramp * parts(start))
            weight.narrow(self.axis + 1, start, self.frames).add_(ramp)
        return total / weight

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        denoise = partial(self.backbone.denoise, sigma=sigma, condition=condition)
        return self._average(lambda start: _again(denoise, self._window(z, start)), self._starts(z), z)

    def encode(self, x: Tensor) -> Tensor:
        frames = self.latent_shape(x.shape[-1])[self.axis]
        padded = torch.nn.functional.pad(x, (0, frames * self.hop - x.shape[-1]))
        size = self.frames * self.hop
        like = padded.new_zeros(len(x), *self.latent_shape(x.shape[-1]))

        def part(start: int) -> Tensor:
            return self.backbone.encode(padded[..., start * self.hop : start * self.hop + size])

        return self._average(part, self._starts(like), like)

    def decode(self, z: Tensor, samples: int) -> Tensor:
        size, overlap = self.frames * self.hop, self.overlap * self.hop
        fade = max(1, round(_FADE * overlap))
        decode = partial(self.backbone.decode, samples=size)
        out = None
        for start in self._starts(z):
            audio = _again(decode, self._window(z, start))
            if out is None:
                out = audio.new_zeros(*audio.shape[:-1], z.shape[self.axis + 1] * self.hop)
            place = torch.arange(size, dtype=audio.dtype, device=audio.device)
            rise = (place - (overlap - fade) / 2 + 0.5) / fade if start else torch.ones_like(place)
            fall = (
                rise.new_ones(size)
                if start == self._starts(z)[-1]
                else ((size - 1 - place) - (overlap - fade) / 2 + 0.5) / fade
            )
            weight = torch.minimum(rise.clamp(0, 1), fall.clamp(0, 1))
            out.narrow(-1, start * self.hop, size).add_(weight * audio)
        assert out is not None
        return out[..., :samples]


def _again(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """The function's value; where a gradient is wanted its inner values are computed again instead of kept."""

    def alone(z: Tensor) -> Tensor:
        _trim()  # of the window before, on the way forward as on the way back
        return function(z)

    if not (torch.is_grad_enabled() and z.requires_grad):
        return alone(z)
    result: Tensor = checkpoint(alone, z, use_reentrant=False)
    return result


def _trim() -> None:
    """Let go of memory that is free. What is kept of each window lies between what is not, and glibc by itself holds on
    to all of it: 18 MB a window of the mini prior."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> Any:
    """The C library where it is glibc, else None."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") else None
