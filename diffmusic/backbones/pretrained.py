"""Base of all backbones that are read from a folder."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from diffmusic.backbones.noise import Noise
from diffmusic.models import hub
from diffmusic.models.folder import weights_hash


class Pretrained:
    """Noise levels and description of a backbone; ``network`` is the module that denoises."""

    RECORDED: ClassVar[tuple[str, ...]] = ("sample_rate",)
    """Its properties that a run record has besides."""

    folder: Path
    name: str
    noise: Noise

    @property
    def network(self) -> Any:
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def sigmas(self, steps: int) -> Tensor:
        return self.noise.sigmas(steps)

    @cached_property
    def _hash(self) -> str:
        return weights_hash(self.folder)

    def describe(self) -> dict[str, Any]:
        """Return name, hash of all weights, what is `RECORDED`, device and dtype of the network, for the run record;
        of a model of the hub its id and commit too."""
        found = hub.origin(self.folder)
        return ({"hub": found} if found else {}) | {
            "name": self.name,
            "sha256": self._hash,
            **{each: getattr(self, each) for each in self.RECORDED},
            "device": str(self.device),
            "dtype": str(self.network.dtype).removeprefix("torch."),
        }
