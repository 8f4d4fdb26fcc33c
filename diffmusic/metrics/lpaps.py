"""LPAPS: distance of two recordings in the layers of a CLAP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from diffmusic.metrics.clap import Clap
from diffmusic.metrics.embeddings import MINI, clap
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import Doc

Norm = Literal["channels", "tokens"]
PUBLISHED = (0.1, True)
"""Overlap of the windows, and whether the rest at the end makes windows too: as in the released code."""
MODEL = Doc("mini (the small CLAP inside this package), a folder or hub id of a ClapModel")


@dataclass(frozen=True)
class LPAPS:
    """LPAPS, lower is nearer, 0 is the same: ``mean_w sum_l mean_c sum_n (f_lnc / |f_lc| - g_lnc / |g_lc|)^2``.

    ``f``, ``g``: outputs of the four stages ``l`` of the audio tower, tokens ``n``, channels ``c``; ``w``: windows of
    the model's length, one every 9/10 of it. Unit vectors are taken along tokens instead of channels, because the
    released code does so, and its published figures therefore mean this. The figures themselves need its CLAP
    (HTSAT-base, music_audioset_epoch_15_esc_90.14).

    Source: the released code of H. Manor and T. Michaeli, arXiv:2402.10009.
    """

    embedding: Annotated[str, MODEL] = MINI
    access: Access = SAFE

    def __call__(self, reference: np.ndarray, estimate: np.ndarray, sample_rate: int, /) -> float:
        """Compute the distance of reference and estimate, (channels, time), of equal length."""
        return lpaps(clap(self.embedding, self.access), reference, estimate, sample_rate, "tokens", *PUBLISHED)

    def describe(self) -> dict[str, Any]:
        """Describe the metric: name and hash of the model, its rate and its windows."""
        return clap(self.embedding, self.access).describe()


@dataclass(frozen=True)
class LPAPSChannels:
    """LPAPS with unit vectors along channels: ``mean_w sum_l mean_n sum_c (f_lnc / |f_ln| - g_lnc / |g_ln|)^2``.

    Lower is nearer, 0 is the same. Channels are normalised as in LPIPS, unweighted; all else is as in ``lpaps``, with
    whose figures it does not compare.

    Source: R. Zhang et al., arXiv:1801.03924; for audio V. Iashin and E. Rahtu, arXiv:2110.08791.
    """

    embedding: Annotated[str, MODEL] = MINI
    access: Access = SAFE

    def __call__(self, reference: np.ndarray, estimate: np.ndarray, sample_rate: int, /) -> float:
        """Compute the distance of reference and estimate, (channels, time), of equal length."""
        return lpaps(clap(self.embedding, self.access), reference, estimate, sample_rate, "channels", *PUBLISHED)

    def describe(self) -> dict[str, Any]:
        """Describe the metric: name and hash of the model, its rate and its windows."""
        return clap(self.embedding, self.access).describe()


def lpaps(
    clap: Clap,
    reference: np.ndarray,
    estimate: np.ndarray,
    sample_rate: int,
    norm: Norm = "channels",
    overlap: float = 0.5,
    tails: bool = False,
) -> float:
    """Compute the distance of two recordings, (channels, time), of one length, by a norm: see the two classes.

    overlap, tails: of the windows, see ``diffmusic.metrics.windows``.
    """
    total = 0.0
    stages = (_stages(clap, x, sample_rate, overlap, tails) for x in (reference, estimate))
    for f, g in zip(*stages, strict=True):
        dim, other = (-1, 1) if norm == "channels" else (1, -1)
        difference = torch.nn.functional.normalize(f, dim=dim) - torch.nn.functional.normalize(g, dim=dim)
        total += float(difference.square().sum(dim, keepdim=True).mean(other).mean())
    return total


@torch.no_grad()
def _stages(clap: Clap, x: np.ndarray, sample_rate: int, overlap: float = 0.5, tails: bool = False) -> list[Tensor]:
    """Return (windows, tokens, channels) after each stage, float64."""
    features = clap.features(x, sample_rate, overlap, tails)
    states = clap.model.audio_model(**features, output_hidden_states=True).hidden_states
    return [state.flatten(2).transpose(1, 2).double() for state in states[1:]]
