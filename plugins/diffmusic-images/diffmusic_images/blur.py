"""A blurred image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic_images.grid import pixels_of, refuse_audio, rows_of


@dataclass(frozen=True)
class Blur:
    """Convolution with a Gaussian, ``y = g * x``, ``g_kl ~ exp(-(k^2 + l^2) / (2 deviation^2))``, cut at 4 deviations.

    The image goes on beyond its edges as its mirror image does, so that the operator is its own transpose: a symmetric
    kernel over a half-sample symmetric extension is diagonal under the discrete cosine transform. x, y: pixels, (batch,
    channels, rows * columns). ``sample_rate`` is the columns; diffmusic sets it.
    """

    deviation: Annotated[float, Field(gt=0, le=100), Doc("of the Gaussian, pixels")] = 2.0
    sample_rate: int = 64

    def validate(self, seconds: float) -> None:
        """Raise InputError: a recording has no rows."""
        refuse_audio()

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``g * x``."""
        image = rows_of(x, self.sample_rate)
        return pixels_of(self._along(self._along(image).mT).mT, x.shape[-1])

    adjoint = forward

    def _along(self, image: Tensor) -> Tensor:
        """Blur the last axis."""
        reach, count = math.ceil(4 * self.deviation), image.shape[-1]
        place = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
        kernel = torch.exp(-((place / self.deviation) ** 2) / 2)
        wide = torch.arange(-reach, count + reach, device=image.device) % (2 * count)
        extended = image[..., torch.minimum(wide, 2 * count - 1 - wide)]
        flat = extended.reshape(-1, 1, extended.shape[-1])
        return torch.nn.functional.conv1d(flat, (kernel / kernel.sum())[None, None]).reshape(image.shape)
