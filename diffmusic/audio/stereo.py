"""Transform of a recording's channels into components, which a prior processes one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Stereo = Literal["mid-side", "separate"]


@dataclass(frozen=True)
class StereoTransform:
    """Orthogonal transform ``c = W y``, ``y = W^T c`` between channels ``y`` and components ``c``, which are solved.

    For stereo ``W`` is mid and side, ``(1, 1) / sqrt(2)`` and ``(1, -1) / sqrt(2)``; else it is the identity. Every row
    has the sign with which its component correlates with the loudest one, because a log-mel ignores polarity: without
    it, channels that are each other's negative would be given the same sound. Components share their noise, so those
    that are proportional to each other stay so, and with them the position of a sound between the speakers.
    """

    weights: Tensor

    @classmethod
    def of(cls, measured: Tensor, stereo: Stereo, linear: bool) -> StereoTransform:
        """Choose the transform for a measurement, (channels, time).

        Components of one that is not linear in the channels, or of magnitudes (channels, frames, bins), are the
        channels themselves.
        """
        linear = linear and measured.ndim == 2
        products = measured.double() @ measured.double().T if linear else torch.eye(len(measured))
        return cls.of_products(products, stereo, linear)

    @classmethod
    def of_products(cls, products: Tensor, stereo: Stereo, linear: bool) -> StereoTransform:
        """The same by the sums of products of every pair of channels, (channels, channels), float64."""
        channels = len(products)
        weights = torch.eye(channels, dtype=torch.float64)
        if not linear or channels == 1:
            return cls(weights)
        if stereo == "mid-side" and channels == 2:
            weights = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2**0.5
        products = weights @ products @ weights.T
        loudest = int(products.diagonal().argmax())
        return cls(weights * torch.where(products[loudest] < 0, -1.0, 1.0)[:, None])

    def split(self, channels: Tensor) -> Tensor:
        """Transform channels, (channels, ...), into components."""
        return self._apply(self.weights, channels)

    def join(self, components: Tensor) -> Tensor:
        """Transform components, (components, ...), into channels."""
        return self._apply(self.weights.T, components)

    @staticmethod
    def _apply(weights: Tensor, x: Tensor) -> Tensor:
        if torch.equal(weights, torch.eye(len(weights), dtype=weights.dtype)):
            return x
        # Sums of products in a fixed order: what is equal in two channels stays so bit for bit.
        return torch.stack(
            [sum(weight * row for weight, row in zip(each, x.double(), strict=True)) for each in weights]
        )
