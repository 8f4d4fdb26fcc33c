"""Prior of one run: a backbone with its conditions and the count of its passes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from diffmusic.prior.backbone import Costs, HasContext, HasPlace, HasTemperature, LatentModel
from diffmusic.prior.counted import Counted
from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.guidance import Projection, Text


@dataclass(frozen=True)
class Prior:
    """Backbone bound to one run: prompts, a length, and the counters that every call feeds.

    Classifier-free guidance (J. Ho and T. Salimans, arXiv:2207.12598) is the same in the frame of sigma as in the
    network's own: ``D = D_u + w (D_c - D_u)``.

    Attributes:
        backbone: The model.
        samples: Length of the audio of one item, in samples.
        costs: Passes so far.
        conditions: The embedded prompts ``c``, one for all sources of an item or one for each (or, by ``given``, one
            for each item of a single source).
        contrasts: The embedded empty or negative prompts ``u``, to steer away from; None leaves guidance out.
        guidance: The weight ``w``.
        sources: Audio channels of one item. Each is a latent of its own, so that latents are (batch * sources, ...).
        projection: Another way of guidance than the plain one.
    """

    backbone: LatentModel
    samples: int
    costs: Costs
    conditions: tuple[Any, ...] = (None,)
    contrasts: tuple[Any, ...] = (None,)
    guidance: float = 1.0
    sources: int = 1
    projection: Projection | None = None

    @cached_property
    def _counted(self) -> Counted:
        return Counted(self.backbone, self.costs)

    @cached_property
    def _texts(self) -> tuple[Text, ...]:
        """One for each source, or for each item."""
        several = [each * (self.sources if len(each) == 1 else 1) for each in (self.conditions, self.contrasts)]
        return tuple(Text((c,), u, self.guidance, projection=self.projection) for c, u in zip(*several, strict=True))

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one source's latent, without batch."""
        return self.backbone.latent_shape(self.samples)

    @property
    def temperature(self) -> float:
        """What its samples are tempered by, 1 where the backbone says nothing."""
        return float(self.backbone.temperature) if isinstance(self.backbone, HasTemperature) else 1.0

    def denoise(self, z: Tensor, sigma: float) -> Tensor:
        """Denoise: ``D = E[z_0 | z_sigma = z]``, under guidance where there is a contrast.

        Args:
            z: Latents, (batch * sources, ...).
            sigma: Their noise level.

        Returns:
            The clean estimate, of the shape of ``z``.
        """
        return Denoiser(self.backbone, self.costs, None)(z, sigma, self._texts * (len(z) // len(self._texts)))

    def decode(self, z: Tensor) -> Tensor:
        """Decode latents, differentiably.

        Args:
            z: Latents, (batch * sources, ...).

        Returns:
            Audio, (batch, channels, samples). Of several sources: (batch * channels, sources, samples), each channel
            a mixture by itself.
        """
        audio = self._counted.decode(z, self.samples)
        return audio if self.sources == 1 else audio.unflatten(0, (-1, self.sources)).transpose(1, 2).flatten(0, 1)

    def encode(self, x: Tensor) -> Tensor:
        """Encode audio.

        Args:
            x: Audio of the shape that ``decode`` gives.

        Returns:
            Latents, (batch * sources, ...).
        """
        if self.sources > 1:
            x = x.unflatten(0, (-1, self.backbone.channels)).transpose(1, 2).flatten(0, 1)
        return self._counted.encode(x)

    def placed(self, start: float, seconds: float) -> Prior:
        """Bind to an excerpt, for a backbone that was told its place in training.

        Args:
            start: Beginning of the excerpt, seconds.
            seconds: Length of the recording.

        Returns:
            The prior of the excerpt.
        """
        backbone = self.backbone
        if not isinstance(backbone, HasPlace):
            return self

        def move(conditions: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(None if each is None else backbone.placed(each, start, seconds) for each in conditions)

        return replace(self, conditions=move(self.conditions), contrasts=move(self.contrasts))

    def given(self, z: Tensor, known: Tensor) -> Prior:
        """Bind to items whose latents are known in part, where the backbone was trained to see what is known.

        Args:
            z: Their latents, (items, channels, frames).
            known: 1 where they are known, (frames,).

        Returns:
            The prior of the items.
        """
        backbone = self.backbone
        if not isinstance(backbone, HasContext) or self.sources > 1:
            return self

        def seeing(conditions: tuple[Any, ...]) -> tuple[Any, ...]:
            (one,) = conditions
            return tuple(None if one is None else backbone.given(one, item, known) for item in z)

        return replace(self, conditions=seeing(self.conditions), contrasts=seeing(self.contrasts))
