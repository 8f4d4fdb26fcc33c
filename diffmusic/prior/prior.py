"""The prior as a solver sees it: a backbone, its condition, and a count of what was spent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from diffmusic.prior.backbone import Backbone, Costs, HasPlace, HasWindows


class _Tally(torch.autograd.Function):
    """The identity; its backward counts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, count: Callable[[Tensor], None]) -> Tensor:
        ctx.count = count
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        ctx.count(grads[0])
        return grads[0], None


@dataclass(frozen=True)
class Prior:
    """A backbone bound to one run: prompts, a length, and the counters that every call feeds.

    samples: length of the audio of one item, in samples.
    conditions, contrasts: the embedded prompts ``c``, one for all sources of an item or one for each, and what to steer
        away from (``u``: the empty or a negative prompt; None leaves guidance out).
    guidance: how far, ``w``. Classifier-free guidance (J. Ho and T. Salimans, arXiv:2207.12598) is the same in this
        frame as in the network's own: ``D = D_u + w (D_c - D_u)``.
    sources: audio channels of one item. Each is a latent of its own, so that latents are (batch * sources, ...).
    """

    backbone: Backbone
    samples: int
    costs: Costs
    conditions: tuple[Any, ...] = (None,)
    contrasts: tuple[Any, ...] = (None,)
    guidance: float = 1.0
    sources: int = 1

    def _count(self, result: Tensor, part: str) -> Tensor:
        # A backbone of windows (diffmusic.prior.windowed) says how many there are.
        windows = self.backbone.calls(self.samples) if isinstance(self.backbone, HasWindows) else 0

        def add(direction: str, x: Tensor) -> None:
            name = f"{part}_{direction}"
            setattr(self.costs, name, getattr(self.costs, name) + x.shape[0] * max(1, windows))
            if name == "network_forward":
                self.costs.network_calls += max(1, windows)

        def backward(gradient: Tensor) -> None:
            add("backward", gradient)
            if windows:
                add("forward", gradient)

        add("forward", result)
        return _Tally.apply(result, backward) if result.requires_grad else result

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one source's latent."""
        return self.backbone.latent_shape(self.samples)

    def denoise(self, z: Tensor, sigma: float) -> Tensor:
        """``E[z_0 | z_sigma = z]``, of the shape of ``z``, under guidance where there is a contrast."""
        if len(self.conditions) == len(self.contrasts) == 1:
            return self._guided(z, sigma, self.conditions[0], self.contrasts[0])
        several = [each * (self.sources if len(each) == 1 else 1) for each in (self.conditions, self.contrasts)]
        parts = [self._guided(z[k :: self.sources], sigma, *pair) for k, pair in enumerate(zip(*several, strict=True))]
        return torch.stack(parts, dim=1).flatten(0, 1)

    def _guided(self, z: Tensor, sigma: float, condition: Any, contrast: Any) -> Tensor:
        clean = self._count(self.backbone.denoise(z, sigma, condition), "network")
        if contrast is None or self.guidance == 1:
            return clean
        other = self._count(self.backbone.denoise(z, sigma, contrast), "network")
        return other + self.guidance * (clean - other)

    def decode(self, z: Tensor) -> Tensor:
        """Audio of shape (batch, channels, samples) from latents. Of several sources: (batch * channels, sources,
        samples), each channel a mixture by itself."""
        audio = self._count(self.backbone.decode(z, self.samples), "decoder")
        return audio if self.sources == 1 else audio.unflatten(0, (-1, self.sources)).transpose(1, 2).flatten(0, 1)

    def encode(self, x: Tensor) -> Tensor:
        """Latents of audio of the shape that `decode` gives."""
        if self.sources > 1:
            x = x.unflatten(0, (-1, self.backbone.channels)).transpose(1, 2).flatten(0, 1)
        return self._count(self.backbone.encode(x), "encoder")

    def placed(self, start: float, seconds: float) -> Prior:
        """The same for an excerpt that begins at ``start`` of a recording of that many seconds."""
        backbone = self.backbone
        if not isinstance(backbone, HasPlace):
            return self

        def move(conditions: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(None if each is None else backbone.placed(each, start, seconds) for each in conditions)

        return replace(self, conditions=move(self.conditions), contrasts=move(self.contrasts))
