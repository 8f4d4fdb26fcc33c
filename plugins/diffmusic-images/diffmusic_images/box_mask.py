"""Lost boxes of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.audio.windows import merge
from diffmusic.parameters import Doc
from diffmusic_images.grid import Box, refuse_audio


@dataclass(frozen=True)
class BoxMask:
    """Loss of boxes: ``y = m x``, with ``m`` 0 inside of them and 1 elsewhere.

    x, y: pixels, (batch, channels, rows * columns). ``sample_rate`` is the columns, ``offset`` the row at which an
    excerpt begins; diffmusic sets both. Solvers for damage that has a place take it for the intervals of pixels that
    the boxes cut out of their rows.
    """

    box: Annotated[tuple[Box, ...], Doc("LEFT:RIGHT,TOP:BOTTOM in pixels; may be repeated")] = ()
    sample_rate: int = 64
    offset: float = 0.0

    @classmethod
    def example(cls) -> BoxMask:
        """A box within the first rows, for the contract tests."""
        return cls(((10, 30, 0, 12),))

    def validate(self, seconds: float) -> None:
        """Raise InputError: a recording has no boxes."""
        refuse_audio()

    def damage(self, samples: int) -> list[tuple[int, int]]:
        """Return the lost intervals of pixels ``(start, stop)``, sorted and disjoint."""
        columns, first = self.sample_rate, round(self.offset * self.sample_rate)
        lost = [
            (row * columns + left - first, row * columns + min(right, columns) - first)
            for left, right, top, bottom in self.box
            for row in range(top, min(bottom, -(-(first + samples) // columns)))
            if left < columns
        ]
        within = [(max(0, start), min(samples, stop)) for start, stop in lost]
        return merge([each for each in within if each[0] < each[1]])

    def kept(self, x: Tensor) -> Tensor:
        """Return ``m``, (pixels,)."""
        m = torch.ones(x.shape[-1], dtype=x.dtype, device=x.device)
        for start, stop in self.damage(x.shape[-1]):
            m[start:stop] = 0
        return m

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``m x``."""
        return x * self.kept(x)

    adjoint = forward

    measurement = forward
    """Whatever the file holds inside a box was not measured."""

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """Put every pixel outside of the boxes back, bit for bit."""
        return torch.where(self.kept(measurement) > 0, measurement, estimate)
