"""CLAP score: agreement of a recording with a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from diffmusic.metrics.embeddings import MINI, clap
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import Doc


@dataclass(frozen=True)
class ClapScore:
    """CLAP score, -1 to 1, higher is better: ``mean_w cos(a_w, t)``.

    ``a_w``, ``t``: CLAP embeddings of windows and of the prompt. Windows of the model's length begin every 9/10 of it,
    as long as there is audio: of the published models (10 s) every 9 s. The rest at the end is repeated to fill its own
    window. Values of different models do not compare; a model that the estimate was made with judges its own work. The
    reference is not used.

    Source: the released code of H. Manor and T. Michaeli, arXiv:2402.10009, which cuts windows before it resamples, not
    after.
    """

    embedding: Annotated[str, Doc("mini (the small CLAP inside this package), a folder or hub id of a ClapModel")] = (
        MINI
    )
    access: Access = SAFE

    def __call__(self, reference: np.ndarray, estimate: np.ndarray, sample_rate: int, /, *, prompt: str) -> float:
        """Score an estimate, (channels, time), against a prompt."""
        model = clap(self.embedding, self.access, speaks=True)
        return model.score(estimate, sample_rate, prompt, overlap=0.1, tails=True)

    def describe(self) -> dict[str, Any]:
        """Describe the metric: name and hash of the model, its rate and its windows."""
        return clap(self.embedding, self.access).describe()
