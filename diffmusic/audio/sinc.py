"""Sample-rate conversion as a differentiable map, for use inside a problem; files are resampled by soxr."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional


def sinc_resample(x: Tensor, rate_in: int, rate_out: int, zeros: int = 32, rolloff: float = 0.97) -> Tensor:
    """Interpolate (..., time), band-limited: ``y[m] = sum_n c w(m/p - n/q) sinc(c (m/p - n/q)) x[n] / q``.

    ``q`` and ``p`` are the rates, ``c`` is ``rolloff`` times the lower of them and ``w`` a Kaiser window (beta 12,
    sidelobes below -110 dB) that spans ``zeros`` zero crossings on either side. Linear in x, and exact to float64 where
    x is. The result has ``ceil(time rate_out / rate_in)`` samples.

    Source: J. O. Smith, "Digital Audio Resampling".
    """
    if rate_in == rate_out:
        return x
    shared = math.gcd(rate_in, rate_out)
    step, phases = rate_in // shared, rate_out // shared
    kernel = _kernel(step, phases, zeros, rolloff).to(x)
    reach = (kernel.shape[-1] - step) // 2
    length = math.ceil(x.shape[-1] * phases / step)
    rows = functional.pad(x.reshape(-1, 1, x.shape[-1]), (reach, reach + step))
    y = functional.conv1d(rows, kernel, stride=step)
    return y.transpose(1, 2).reshape(*x.shape[:-1], -1)[..., :length]


@lru_cache(maxsize=16)
def _kernel(step: int, phases: int, zeros: int, rolloff: float) -> Tensor:
    """Return the filter of each output sample of a period of ``step`` input samples, (phases, 1, taps)."""
    cutoff = rolloff * min(1.0, phases / step)  # in units of the input's Nyquist frequency
    reach = math.ceil(zeros / cutoff)
    with torch.inference_mode(False):
        time = torch.arange(-reach, reach + step, dtype=torch.float64)
        time = time[None] - torch.arange(phases, dtype=torch.float64)[:, None] * step / phases
        inside = (1 - (time * cutoff / zeros).square()).clamp(min=0)
        window = torch.special.i0(12.0 * inside.sqrt()) / torch.special.i0(torch.tensor(12.0, dtype=torch.float64))
        window = torch.where(inside > 0, window, 0.0)
        return (cutoff * torch.sinc(cutoff * time) * window)[:, None]
