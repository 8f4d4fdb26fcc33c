"""State of a restoration after a step, for callbacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffmusic.prior.backbone import Backbone
from diffmusic.prior.prior import Prior


@dataclass(frozen=True, eq=False)
class Snapshot:
    """State of one excerpt of a restoration after one step, as a callback ``on_step`` sees it.

    Attributes:
        start: Beginning of the excerpt in the recording, seconds.
        stop: End of the excerpt, seconds.
        step: Number of the step, 1 to ``steps``.
        steps: Steps in all.
        sigma: Noise level that the step led to.
        z: Latents at that level, (items, ...).
        prior: The prior, bound to the excerpt.
        gain: Level of the recording relative to the prior's, (items, 1, 1).
    """

    start: float
    stop: float
    step: int
    steps: int
    sigma: float
    z: Tensor
    prior: Prior
    gain: Tensor

    @property
    def sample_rate(self) -> int:
        """Rate of the estimate, which is the prior's, Hz."""
        assert isinstance(self.prior.backbone, Backbone)
        return self.prior.backbone.sample_rate

    def estimate(self) -> np.ndarray:
        """Compute the clean estimate ``Dec(D(z))`` at the recording's loudness, (items, channels, time).

        It takes a pass of the network and one of the decoder, which count as costs of the run.

        Returns:
            The estimate, float64; items are samples and components of the stereo image.
        """
        with torch.no_grad():
            clean = self.prior.denoise(self.z, self.sigma) if self.sigma > 0 else self.z
            return (self.prior.decode(clean) * self.gain).cpu().double().numpy()


StepCallback = Callable[[Snapshot], None]
"""Callback after every step of every excerpt."""
