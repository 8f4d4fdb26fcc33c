"""An image with too few pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic_images.grid import pixels_of, refuse_audio, rows_of


@dataclass(frozen=True)
class Downsampling:
    """Mean of each block of ``r`` by ``r`` pixels: ``y_ij = sum_kl x_(ri+k)(rj+l) / r^2``.

    INPUT is the small image; the result has ``r`` times its rows and columns. x: (batch, channels, rows * columns);
    y: the same of the small image. ``sample_rate`` is the columns of ``x``; diffmusic sets it. Incomplete blocks at the
    bottom are completed with zeros.
    """

    linear: ClassVar[bool] = True

    factor: Annotated[int, Field(ge=2, le=16), Doc("r, how many times more rows and columns the result has")] = 2
    sample_rate: int = 64

    def validate(self, seconds: float) -> None:
        """Raise InputError: a recording has no rows."""
        refuse_audio()

    def clean_rate(self, rate: int) -> int:
        """Return the columns of the result."""
        return rate * self.factor

    def observed_rate(self, rate: int) -> int:
        """Return the columns of the small image."""
        if rate % self.factor:
            raise InputError(f"{rate} columns cannot be divided by {self.factor}: choose another `factor`")
        return rate // self.factor

    def clean_length(self, y: Tensor) -> int:
        """Return the pixels of the result."""
        return y.shape[-1] * self.factor**2

    def forward(self, x: Tensor) -> Tensor:
        """Compute the means of blocks."""
        self.observed_rate(self.sample_rate)
        return pixels_of(avg_pool2d(rows_of(x, self.sample_rate, self.factor), self.factor))

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """Return the image nearest to the estimate that explains the measurement, ``x + r^2 A^T (y - A x)``.

        Each block is shifted to have the mean that was measured; ``A A^T = 1 / r^2``.
        """
        short = rows_of(measurement - self.forward(estimate), self.sample_rate // self.factor)
        return estimate + pixels_of(interpolate(short, scale_factor=self.factor), estimate.shape[-1])
