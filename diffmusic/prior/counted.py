"""Counting of backbone passes, in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffmusic.prior.backbone import Costs, HasBatch, LatentModel
from diffmusic.prior.windowed import Windowed


class _Tally(torch.autograd.Function):
    """Identity function whose backward pass counts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, count: Callable[[], None]) -> Tensor:
        ctx.count = count
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        ctx.count()
        return grads[0], None


@dataclass(frozen=True, eq=False)
class Counted:
    """Model whose passes, forward and backward, are counted one per item and window.

    The passes that a long recording repeats for the backward pass count as forward.
    """

    backbone: LatentModel
    costs: Costs

    def denoise(self, z: Tensor, sigma: float, condition: Any) -> Tensor:
        """Return ``E[z_0 | z_sigma = z]`` of latents that share a noise level and a condition, in one call a window."""
        return self._count(self.backbone.denoise(z, sigma, condition), "network", self._windows(z))

    def denoise_batch(self, z: Tensor, sigmas: Tensor, conditions: Sequence[Any]) -> Tensor:
        """Return the same in one call, for latents each at its own noise level and under its own condition."""
        assert isinstance(self.backbone, HasBatch)
        return self._count(self.backbone.denoise_batch(z, sigmas, conditions), "network", 1)

    def encode(self, x: Tensor) -> Tensor:
        """Encode a signal as latents."""
        z = self.backbone.encode(x)
        return self._count(z, "encoder", self._windows(z))

    def decode(self, z: Tensor, samples: int) -> Tensor:
        """Decode latents to a signal of that many samples."""
        return self._count(self.backbone.decode(z, samples), "decoder", self._windows(z))

    def _windows(self, z: Tensor) -> int:
        return self.backbone.windows(z) if isinstance(self.backbone, Windowed) else 1

    def _count(self, result: Tensor, part: str, windows: int) -> Tensor:
        def add(direction: str) -> None:
            name = f"{part}_{direction}"
            setattr(self.costs, name, getattr(self.costs, name) + len(result) * windows)
            if name == "network_forward":
                self.costs.network_calls += windows

        def backward() -> None:
            add("backward")
            if isinstance(self.backbone, Windowed):
                add("forward")

        add("forward")
        if not result.requires_grad:
            return result
        counted: Tensor = _Tally.apply(result, backward)  # type: ignore[no-untyped-call]
        return counted
