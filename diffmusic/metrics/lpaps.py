"""LPAPS: how far a recording has gone from another, in the layers of a CLAP."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.resample import resample
from diffmusic.metrics.clap import Clap

Norm = Literal["channels", "tokens"]


def lpaps(clap: Clap, reference: np.ndarray, estimate: np.ndarray, sample_rate: int, norm: Norm = "channels") -> float:
    """The distance of two recordings, (channels, time), of one length; 0 is the same, lower is nearer.

        channels:  sum_l mean_n sum_c (f_lnc / |f_ln| - g_lnc / |g_ln|)^2
        tokens:    sum_l mean_c sum_n (f_lnc / |f_lc| - g_lnc / |g_lc|)^2

    ``f``, ``g``: outputs of the four stages ``l`` of the audio tower, tokens ``n``, channels ``c``; the mean over
    windows of the model's length, half overlapping. ``channels`` is what LPIPS does (R. Zhang et al., arXiv:1801.03924;
    for audio V. Iashin and E. Rahtu, arXiv:2110.08791). ``tokens`` is what the released code of arXiv:2402.10009 does,
    for comparison with its figures, given its CLAP.
    """
    total = 0.0
    for f, g in zip(_stages(clap, reference, sample_rate), _stages(clap, estimate, sample_rate), strict=True):
        dim, other = (-1, 1) if norm == "channels" else (1, -1)
        difference = torch.nn.functional.normalize(f, dim=dim) - torch.nn.functional.normalize(g, dim=dim)
        total += float(difference.square().sum(dim, keepdim=True).mean(other).mean())
    return total


@torch.no_grad()
def _stages(clap: Clap, x: np.ndarray, sample_rate: int) -> list[Tensor]:
    """(windows, tokens, channels) after each stage."""
    rate, length = clap.extractor.sampling_rate, int(clap.extractor.nb_max_samples)
    mono = resample(x.mean(0, keepdims=True), sample_rate, rate)[0]
    last = max(0, len(mono) - length)
    windows = [mono[start : start + length] for start in sorted({*range(0, last + 1, length // 2), last})]
    features = clap.extractor(windows, sampling_rate=rate, return_tensors="pt")["input_features"].float()
    states = clap.model.audio_model(input_features=features, output_hidden_states=True).hidden_states
    return [state.flatten(2).transpose(1, 2) for state in states[1:]]
