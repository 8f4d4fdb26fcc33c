"""The state of a restoration after a step, for whoever wants to see it on its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffmusic.prior.prior import Prior


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One excerpt of a restoration after one step.

    start, stop: the excerpt, seconds of the recording. step: 1 to ``steps``. sigma: the noise level that it led to.
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
        """Of the estimate: that of the prior, Hz."""
        return self.prior.backbone.sample_rate

    def estimate(self) -> np.ndarray:
        """Compute the clean estimate ``Dec(D(z))`` at the recording's level, (items, channels, time).

        Items are samples and components of the stereo image. It takes a pass of the network and one of the decoder,
        which count as costs of the run.
        """
        with torch.no_grad():
            clean = self.prior.denoise(self.z, self.sigma) if self.sigma > 0 else self.z
            return (self.prior.decode(clean) * self.gain).cpu().double().numpy()


StepCallback = Callable[[Snapshot], None]
"""Called after every step of every excerpt."""
