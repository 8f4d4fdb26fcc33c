"""The prior as a solver sees it: a backbone, its condition, and a count of what was spent."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Backbone(Protocol):
    """A pretrained latent-diffusion model in the frame ``z_sigma = z_0 + sigma n``, ``n ~ N(0, I)``.

    Audio is (batch, channels, time) at ``sample_rate``; latents have the batch first.
    """

    @property
    def sample_rate(self) -> int:
        """Hz."""
        ...

    @property
    def channels(self) -> int:
        """Channels of audio that one latent stands for."""
        ...

    @property
    def excerpt_seconds(self) -> float:
        """The length it was trained on, in seconds: windows of long recordings have it."""
        ...

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        ...

    def sigmas(self, steps: int) -> Tensor:
        """``steps + 1`` decreasing noise levels, float64, from the highest of the training grid to 0."""
        ...

    def latent_shape(self, samples: int) -> tuple[int, ...]:
        """The shape, without batch, of the latent of that many samples."""
        ...

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        """``E[z_0 | z_sigma = z]``."""
        ...

    def encode(self, x: Tensor) -> Tensor:
        """Audio to latents (the mode of the encoder's distribution)."""
        ...

    def decode(self, z: Tensor, samples: int) -> Tensor:
        """Latents to audio of that many samples, differentiable."""
        ...

    def mel(self, x: Tensor) -> Tensor:
        """The backbone's own log-mel of audio, in nats, (batch, ...), differentiable."""
        ...

    def embed(self, prompt: str | None) -> Any:
        """The condition for a prompt; ``None`` or an empty prompt is unconditional."""
        ...

    def describe(self) -> dict[str, Any]:
        """What a run record says of the model: name, source, hash, rate, dtype."""
        ...


@dataclass
class Costs:
    """What a run spent, counted one per item and call."""

    network_forward: int = 0
    network_backward: int = 0
    decoder_forward: int = 0
    decoder_backward: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class _Tally(torch.autograd.Function):
    """The identity; its backward adds to a counter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, costs: Costs, name: str) -> Tensor:
        ctx.costs, ctx.name = costs, name
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        setattr(ctx.costs, ctx.name, getattr(ctx.costs, ctx.name) + grads[0].shape[0])
        return grads[0], None, None


@dataclass(frozen=True)
class Prior:
    """A backbone bound to one run: a condition, a length, and the counters that every call feeds.

    samples: length of the audio of one item, in samples.
    """

    backbone: Backbone
    samples: int
    costs: Costs
    condition: Any = None

    def _count(self, result: Tensor, part: str) -> Tensor:
        forward = f"{part}_forward"
        setattr(self.costs, forward, getattr(self.costs, forward) + result.shape[0])
        return _Tally.apply(result, self.costs, f"{part}_backward") if result.requires_grad else result

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one item's latent."""
        return self.backbone.latent_shape(self.samples)

    def denoise(self, z: Tensor, sigma: float) -> Tensor:
        """``E[z_0 | z_sigma = z]``, of the shape of ``z``."""
        return self._count(self.backbone.denoise(z, sigma, self.condition), "network")

    def decode(self, z: Tensor) -> Tensor:
        """Audio of shape (batch, channels, samples) from latents."""
        return self._count(self.backbone.decode(z, self.samples), "decoder")
