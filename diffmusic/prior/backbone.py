"""The contract of a backbone, and the count of what a run spends on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Backbone(Protocol):
    """A pretrained latent-diffusion model in the frame ``z_sigma = z_0 + sigma n``, ``n ~ N(0, I)``.

    Audio is (batch, channels, time) at ``sample_rate``; latents have the batch first. A backbone may also define

    - ``placed(condition, start, seconds)``: the condition for an excerpt that begins at ``start`` of a recording of
    that
      many seconds, where the model was told so in training;
    - ``denoise_batch(z, sigmas, conditions)``: many latents in one call of the network, each at its own level, float64,
      and under its own condition;
    - ``given(condition, z, known)``: the condition for a latent (channels, frames) that is known where ``known``,
      (frames,), is 1 and to be filled where it is 0, where the model was trained to see that.
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
        """The backbone's own log-mel of audio, in nats, (batch, ..., frames, bands), differentiable."""
        ...

    def embed(self, prompt: str | None) -> Any:
        """The condition for a prompt; ``None`` or an empty prompt is unconditional."""
        ...

    def describe(self) -> dict[str, Any]:
        """What a run record says of the model: name, source, hash, rate, dtype."""
        ...


@runtime_checkable
class HasPlace(Protocol):
    def placed(self, condition: Any, start: float, seconds: float, /) -> Any: ...


@runtime_checkable
class HasContext(Protocol):
    def given(self, condition: Any, z: Tensor, known: Tensor, /) -> Any: ...


@runtime_checkable
class HasBatch(Protocol):
    def denoise_batch(self, z: Tensor, sigmas: Tensor, conditions: Sequence[Any], /) -> Tensor: ...


@dataclass
class Costs:
    """What a run spent, counted one per item, call and window; what a long recording computes again for the backward
    pass counts as forward. ``network_calls`` counts those for several items as one."""

    network_forward: int = 0
    network_calls: int = 0
    network_backward: int = 0
    decoder_forward: int = 0
    decoder_backward: int = 0
    encoder_forward: int = 0

    def __add__(self, other: Costs) -> Costs:
        return Costs(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def as_dict(self) -> dict[str, int]:
        return asdict(self)
