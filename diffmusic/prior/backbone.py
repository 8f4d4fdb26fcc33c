"""The contract of a backbone, and the count of what a run spends on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class LatentModel(Protocol):
    """Pretrained latent-diffusion model in the frame ``z_sigma = z_0 + sigma n``, ``n ~ N(0, I)``, of any signal.

    A signal is (batch, channels, samples), whatever its samples are: `Backbone` is the contract for audio. Latents have
    the batch first. A model may also define

    - ``denoise_batch(z, sigmas, conditions)``: many latents in one call of the network, each at its own level, float64,
      and under its own condition.
    """

    @property
    def channels(self) -> int:
        """Channels of the signal that one latent stands for."""
        ...

    @property
    def device(self) -> torch.device:
        """Device of its weights."""
        ...

    def sigmas(self, steps: int) -> Tensor:
        """Return the noise levels of a walk.

        Args:
            steps: Moves from one level to the next.

        Returns:
            ``steps + 1`` decreasing levels, float64, from the highest of the training grid to 0.
        """
        ...

    def latent_shape(self, samples: int) -> tuple[int, ...]:
        """Return the shape of a latent.

        Args:
            samples: Length of the signal.

        Returns:
            The shape without batch.
        """
        ...

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        """Denoise: ``D = E[z_0 | z_sigma = z]``, whatever the network itself predicts.

        Args:
            z: Latents, (batch, ...).
            sigma: Their noise level.
            condition: Of ``embed``; None is unconditional.

        Returns:
            The clean estimate, of the shape of ``z``, differentiable.
        """
        ...

    def encode(self, x: Tensor) -> Tensor:
        """Encode a signal.

        Args:
            x: The signal, (batch, channels, samples).

        Returns:
            Latents, the mode of the encoder's distribution, (batch, ...).
        """
        ...

    def decode(self, z: Tensor, samples: int) -> Tensor:
        """Decode latents, differentiably.

        Args:
            z: Latents, (batch, ...).
            samples: Length of the signal.

        Returns:
            The signal, (batch, channels, samples).
        """
        ...

    def embed(self, prompt: str | None) -> Any:
        """Embed a prompt.

        Args:
            prompt: Text of the signal; None or an empty one is unconditional.

        Returns:
            A condition for ``denoise``, of a kind that only the backbone knows.

        Raises:
            InputError: The model takes no prompt.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Describe the model for a run record.

        Returns:
            Name, source, hash, rate and dtype, in plain values.
        """
        ...


@runtime_checkable
class Backbone(LatentModel, Protocol):
    """Latent-diffusion model of audio, (batch, channels, time) at ``sample_rate``. It may also define

    - ``placed(condition, start, seconds)``: the condition for an excerpt that begins at ``start`` of a recording of
      that many seconds, where the model was told so in training;
    - ``log_mel``: the ``LogMel`` that ``mel`` computes, so that noise can be added in its bins;
    - ``temperature``: by which its samples are tempered, so that they differ as much as they err
      (``benchmarks/calibration.py``); 1 by default;
    - ``given(condition, z, known)``: the condition for a latent (channels, frames) that is known where ``known``,
      (frames,), is 1 and to be filled where it is 0, where the model was trained to see that.
    """

    @property
    def sample_rate(self) -> int:
        """Rate of its audio, Hz."""
        ...

    @property
    def excerpt_seconds(self) -> float:
        """Length it was trained on, seconds: windows of long recordings have it."""
        ...

    def mel(self, x: Tensor) -> Tensor:
        """Compute the backbone's own log-mel, differentiably.

        Args:
            x: Audio, (batch, channels, time).

        Returns:
            Log-mel in nats, (batch, ..., frames, bands).
        """
        ...


@runtime_checkable
class HasPlace(Protocol):
    def placed(self, condition: Any, start: float, seconds: float, /) -> Any: ...


@runtime_checkable
class HasContext(Protocol):
    def given(self, condition: Any, z: Tensor, known: Tensor, /) -> Any: ...


@runtime_checkable
class HasTemperature(Protocol):
    @property
    def temperature(self) -> float: ...


@runtime_checkable
class HasBatch(Protocol):
    def denoise_batch(self, z: Tensor, sigmas: Tensor, conditions: Sequence[Any], /) -> Tensor: ...


@dataclass
class Costs:
    """Passes that a run spent, one per item, call and window.

    What a long recording computes again for the backward pass counts as forward.

    Attributes:
        network_forward: Forward passes of the network.
        network_calls: Calls of the network; one for several items counts once.
        network_backward: Backward passes of the network.
        decoder_forward: Forward passes of the decoder.
        decoder_backward: Backward passes of the decoder.
        encoder_forward: Forward passes of the encoder.
        encoder_backward: Backward passes of the encoder.
    """

    network_forward: int = 0
    network_calls: int = 0
    network_backward: int = 0
    decoder_forward: int = 0
    decoder_backward: int = 0
    encoder_forward: int = 0
    encoder_backward: int = 0

    def __add__(self, other: Costs) -> Costs:
        return Costs(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name.

        Returns:
            A count for each attribute.
        """
        return asdict(self)
