"""MusicLDM, AudioLDM and the mini prior, which are built alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from diffmusic.backbones.log_mel import LogMelPrior
from diffmusic.backbones.text import Encode, clap_text
from diffmusic.errors import InputError

MINI = Path(__file__).parent / "mini"


def mini(source: Path | None = None, device: str = "cpu", *, dtype: str = "auto") -> MusicLDM:
    """Load the prior inside this package, or a folder of the same kind."""
    return MusicLDM.load(source or MINI, device, name="mini", dtype=dtype, checkpointing=False)


@dataclass(frozen=True, eq=False)
class MusicLDM(LogMelPrior):
    """``z = scaling * E(M(x))`` with ``M`` the log-mel and ``E`` the mode of the VAE; ``x = V(Dec(z / scaling))``.

    Audio is (batch, 1, time) at 16 kHz, latents are (batch, 8, frames / 4, bands / 4). The condition is the CLAP text
    embedding, (1, 512), added to the timestep's; unconditional is that of the empty prompt. AudioLDM is the same
    network, trained on all kinds of sound.
    Source: K. Chen et al., "MusicLDM", arXiv:2308.01546; H. Liu et al., "AudioLDM", arXiv:2301.12503; the folder layout
    is that of diffusers.
    """

    UNET: ClassVar[Any] = UNet2DConditionModel

    @classmethod
    def _encoders(cls, folder: Path, device: str, allow_pickle: bool) -> Encode:
        return clap_text(folder, device, allow_pickle)

    def _network(self, x: Tensor, t: Tensor, condition: Tensor | None) -> Tensor:
        condition = self.embed(None) if condition is None else condition
        labels = None if condition is None else condition.to(x).expand(len(x), -1)
        return self.unet(x, t, encoder_hidden_states=None, class_labels=labels).sample

    def denoise_batch(self, z: Tensor, sigmas: Tensor, conditions: Sequence[Any]) -> Tensor:
        """``denoise`` of latents that each have a level, (batch,), and a condition of their own, in one call."""
        self.texts.release()
        known: list[Any] = [self.embed(None) if each is None else each for each in conditions]
        joined = None if known[0] is None else torch.cat(known)

        def network(x: Tensor, t: np.ndarray) -> Tensor:
            timesteps = torch.from_numpy(t).float().to(x.device)
            return self._network(x.to(self.unet.dtype), timesteps, joined).to(x.dtype)

        return self.noise.denoise_batch(network, z, sigmas)

    def embed(self, prompt: str | None) -> Tensor | None:
        """The CLAP text embedding, (1, dim); None where the UNet takes no condition.

        Raises InputError for a prompt that the model cannot follow.
        """
        if self.unet.config.class_embed_type is None:
            if prompt:
                raise InputError(f"model {self.name!r} was trained without text: it takes no prompt")
            return None
        return self.texts(prompt)
