"""What is known of all of a recording before a stretch of it is solved: its mean, and how its channels go together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.operator import kept, regions

LEAST = 1e-3
"""Full scale 1: the mean of music is some hundred times smaller."""


@dataclass(frozen=True)
class Survey:
    """Sums over the observed samples of a recording.

    Attributes:
        count: Observed samples of a channel.
        sums: Of each channel, (channels,).
        products: Of every pair of channels, (channels, channels).
        gapped: Whether the operator takes stretches out of one recording and does nothing else.
    """

    count: int
    sums: Tensor
    products: Tensor
    gapped: bool

    @classmethod
    def of(cls, bound: BoundOperator, blocks: Iterable[Tensor]) -> Survey:
        """Sum up a measurement.

        Args:
            bound: The operator at the rate of the measurement.
            blocks: What was measured, in order, (channels, time) each; anything where it is lost.
        """
        count, sums, products = 0, torch.zeros(1), torch.zeros(1)
        gapped, first = _may_be_gapped(bound), 0
        for block in blocks:
            samples = block.shape[-1]
            operator = bound.at(bound.rate, first / bound.rate).operator
            mask = kept(operator, samples) if bound.has_damage else torch.ones(samples, dtype=torch.float64)
            if gapped:
                ones = torch.ones(1, 1, samples, dtype=torch.float64)
                gapped = torch.equal(operator.forward(ones), mask[None, None]) and not regions(operator, samples)
            observed = block * mask
            count, sums, products = count + int(mask.sum()), sums + observed.sum(-1), products + observed @ observed.T
            first += samples
        return cls(count, sums, products, gapped)

    @property
    def offset(self) -> Tensor:
        """The mean of each channel, (1, channels, 1), which no prior and no prediction holds: it is taken off before a
        gap is solved, and put back after.

        It is 0 where it is as small as music alone makes it, and for an operator that does more than take stretches out
        of one recording.
        """
        if not self.gapped:
            return torch.zeros(1, 1, 1, dtype=torch.float64)
        mean = self.sums / max(1, self.count)
        return torch.where(mean.abs() > LEAST, mean, 0.0)[None, :, None]

    @property
    def moved_products(self) -> Tensor:
        """Products of the channels without their offset."""
        offset = self.offset.reshape(-1).expand(len(self.sums))
        crossed = torch.outer(self.sums, offset)
        return self.products - crossed - crossed.T + self.count * torch.outer(offset, offset)


def _may_be_gapped(bound: BoundOperator) -> bool:
    return bound.has_damage and bound.linear and bound.sources == 1 and not bound.has_own_rate and not bound.spectrogram
