from dataclasses import dataclass
from typing import Annotated

import torch

from diffmusic import Spec, hookimpl
from diffmusic.parameters import Doc, Field


@hookimpl
def diffmusic_operators():
    return [Spec("telephone", "diffmusic_telephone:Telephone", "a telephone's band is left", ("linear",))]


@dataclass(frozen=True)
class Telephone:
    """``y = F^-1 (H F x)`` with ``H`` 1 from ``low`` to ``high`` Hz, and 0 elsewhere."""

    low: Annotated[float, Field(gt=0), Doc("lower edge, Hz")] = 300.0
    high: Annotated[float, Field(gt=0), Doc("upper edge, Hz")] = 3400.0
    sample_rate: int = 16000  # set by diffmusic to the rate at which the operator is applied

    def forward(self, x):
        f = torch.fft.rfftfreq(x.shape[-1], 1 / self.sample_rate, device=x.device)
        band = (f >= self.low) & (f <= self.high)
        return torch.fft.irfft(torch.fft.rfft(x) * band, n=x.shape[-1])

    adjoint = forward
