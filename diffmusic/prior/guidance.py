"""Prompts, and classifier-free guidance by one or several of them.

Guidance is the same in the frame ``z_sigma = z_0 + sigma n`` as in the network's own. With several prompts, each over
its interval ``M_i`` (``sum_i M_i = 1``):

    D = D_u + w (sum_i M_i D_i - D_u)

Source: J. Ho and T. Salimans, arXiv:2207.12598; for several prompts the released code of H. Manor and T. Michaeli,
"Zero-shot unsupervised and text-based audio editing using DDPM inversion", arXiv:2402.10009.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffmusic.prior.backbone import HasPlace


@dataclass(frozen=True)
class Projection:
    """Adaptive projected guidance, against the oversaturation of large weights, from the difference of both passes:

        Delta  = D_c - D_u,   Delta <- Delta min(1, r sqrt(dim) / |Delta|)
        Delta' = <Delta, D_c> / |D_c|^2 D_c                      the part along D_c
        D      = D_c + (w - 1) (Delta - Delta' + parallel Delta')

    Norms are over one latent. ``parallel`` 1 without a limit is plain guidance, 0 is the paper's. Its momentum is left
    out: that is a memory from one call of the denoiser to the next, and editors denoise many levels in one call.

    Attributes:
        parallel: Part of the difference along ``D_c`` that is kept.
        limit: ``r``, the largest root mean square of the difference; None is no limit.

    Source: S. Sadat et al., "Eliminating oversaturation and artifacts of high guidance scales in diffusion models",
    arXiv:2410.02416, Algorithm 1.
    """

    parallel: float = 0.0
    limit: float | None = None

    @classmethod
    def of(cls, parallel: float, limit: float | None) -> Projection | None:
        """Return the projection; None where it would be plain guidance."""
        return None if parallel == 1 and limit is None else cls(parallel, limit)

    def combine(self, clean: Tensor, contrast: Tensor, weight: float) -> Tensor:
        """Combine ``D_c`` and ``D_u`` of one latent to ``D``."""
        change = clean - contrast
        if self.limit is not None:
            size = change.square().mean().clamp(min=torch.finfo(change.dtype).tiny).sqrt()
            change = change * (self.limit / size).clamp(max=1)
        along = (change * clean).sum() / clean.square().sum().clamp(min=torch.finfo(clean.dtype).tiny) * clean
        return clean + (weight - 1) * (change - (1 - self.parallel) * along)


@dataclass(frozen=True)
class Text:
    """Embedded prompts of a recording, with their guidance.

    Attributes:
        conditions: embedded prompts, one or several.
        contrast: what guidance steers away from (the empty or a negative prompt, embedded); None leaves guidance out.
        guidance: its weight ``w``.
        masks: weight of each of several prompts at latents' frames, (prompts, frames), summing to 1 over the prompts.
        projection: another way of guidance than the plain one.
    """

    conditions: tuple[Any, ...] = (None,)
    contrast: Any = None
    guidance: float = 1.0
    masks: Tensor | None = None
    projection: Projection | None = None

    @property
    def guided(self) -> bool:
        """Whether the contrast takes part."""
        return self.contrast is not None and self.guidance != 1

    @property
    def passes(self) -> tuple[Any, ...]:
        """Conditions that the network runs under, each once."""
        return (*self.conditions, self.contrast) if self.guided else self.conditions

    def combine(self, parts: Sequence[Tensor]) -> Tensor:
        """Combine the denoised latents under each of ``passes`` to ``D`` of one latent, (channels, frames, ...)."""
        clean = parts[0]
        if self.masks is not None:
            shape = (1, -1, *[1] * (clean.ndim - 2))
            clean = torch.stack([m.to(p).reshape(shape) * p for m, p in zip(self.masks, parts, strict=False)]).sum(0)
        if not self.guided:
            return clean
        if self.projection is not None:
            return self.projection.combine(clean, parts[-1], self.guidance)
        return parts[-1] + self.guidance * (clean - parts[-1])


class Embedder:
    """Embedder of prompts that embeds each once, so that texts with the same prompt share one object.

    start, seconds: the position of the excerpt in a recording of that length, for a backbone that uses it
    (``placed(condition, start, seconds)``).
    """

    def __init__(self, backbone: Any, start: float = 0.0, seconds: float = 0.0) -> None:
        self._backbone, self._place = backbone, (start, seconds)
        self._known: dict[str, Any] = {}

    def __call__(self, prompt: str | None) -> Any:
        if (prompt or "") not in self._known:
            condition = self._backbone.embed(prompt)
            if condition is not None and isinstance(self._backbone, HasPlace):
                condition = self._backbone.placed(condition, *self._place)
            self._known[prompt or ""] = condition
        return self._known[prompt or ""]

    def text(
        self,
        prompt: str | None,
        negative: str | None = None,
        guidance: float = 1.0,
        projection: Projection | None = None,
    ) -> Text:
        """Build a text of one prompt; without a contrast where both passes of guidance would be the same."""
        same = (prompt or "") == (negative or "")
        return Text((self(prompt),), None if same else self(negative), guidance, projection=projection)
