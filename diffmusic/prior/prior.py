"""The prior as a solver sees it: a backbone, its condition, and a count of what was spent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from diffmusic.prior.backbone import Backbone, Costs, HasContext, HasPlace
from diffmusic.prior.counted import Counted
from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.guidance import Text


@dataclass(frozen=True)
class Prior:
    """A backbone bound to one run: prompts, a length, and the counters that every call feeds.

    samples: length of the audio of one item, in samples.
    conditions, contrasts: the embedded prompts ``c``, one for all sources of an item or one for each (or, by `given`,
        one for each item of a single source), and what to steer away from (``u``: the empty or a negative prompt; None
        leaves guidance out).
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

    @cached_property
    def _counted(self) -> Counted:
        return Counted(self.backbone, self.costs)

    @cached_property
    def _texts(self) -> tuple[Text, ...]:
        """One for each source, or for each item."""
        several = [each * (self.sources if len(each) == 1 else 1) for each in (self.conditions, self.contrasts)]
        return tuple(Text((c,), u, self.guidance) for c, u in zip(*several, strict=True))

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one source's latent."""
        return self.backbone.latent_shape(self.samples)

    def denoise(self, z: Tensor, sigma: float) -> Tensor:
        """``E[z_0 | z_sigma = z]``, of the shape of ``z``, under guidance where there is a contrast."""
        return Denoiser(self.backbone, self.costs, None)(z, sigma, self._texts * (len(z) // len(self._texts)))

    def decode(self, z: Tensor) -> Tensor:
        """Audio of shape (batch, channels, samples) from latents. Of several sources: (batch * channels, sources,
        samples), each channel a mixture by itself."""
        audio = self._counted.decode(z, self.samples)
        return audio if self.sources == 1 else audio.unflatten(0, (-1, self.sources)).transpose(1, 2).flatten(0, 1)

    def encode(self, x: Tensor) -> Tensor:
        """Latents of audio of the shape that `decode` gives."""
        if self.sources > 1:
            x = x.unflatten(0, (-1, self.backbone.channels)).transpose(1, 2).flatten(0, 1)
        return self._counted.encode(x)

    def placed(self, start: float, seconds: float) -> Prior:
        """The same for an excerpt that begins at ``start`` of a recording of that many seconds."""
        backbone = self.backbone
        if not isinstance(backbone, HasPlace):
            return self

        def move(conditions: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(None if each is None else backbone.placed(each, start, seconds) for each in conditions)

        return replace(self, conditions=move(self.conditions), contrasts=move(self.contrasts))

    def given(self, z: Tensor, known: Tensor) -> Prior:
        """The same for items whose latents are known in part, where the backbone was trained to see what is known.

        z: their latents, (items, channels, frames); known: 1 where they are, (frames,).
        """
        backbone = self.backbone
        if not isinstance(backbone, HasContext) or self.sources > 1:
            return self

        def seeing(conditions: tuple[Any, ...]) -> tuple[Any, ...]:
            (one,) = conditions
            return tuple(None if one is None else backbone.given(one, item, known) for item in z)

        return replace(self, conditions=seeing(self.conditions), contrasts=seeing(self.contrasts))
