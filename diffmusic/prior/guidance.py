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
class Text:
    """Embedded prompts of a recording, with their guidance.

    Attributes:
        conditions: embedded prompts, one or several.
        contrast: what guidance steers away from (the empty or a negative prompt, embedded); None leaves guidance out.
        guidance: its weight ``w``.
        masks: weight of each of several prompts at latents' frames, (prompts, frames), summing to 1 over the prompts.
    """

    conditions: tuple[Any, ...] = (None,)
    contrast: Any = None
    guidance: float = 1.0
    masks: Tensor | None = None

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
        return parts[-1] + self.guidance * (clean - parts[-1]) if self.guided else clean


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

    def text(self, prompt: str | None, negative: str | None = None, guidance: float = 1.0) -> Text:
        """Build a text of one prompt; without a contrast where both passes of guidance would be the same."""
        same = (prompt or "") == (negative or "")
        return Text((self(prompt),), None if same else self(negative), guidance)
