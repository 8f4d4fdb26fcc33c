"""Simulated measurement of a clip, and the judging of estimates against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.noise_spectrum import NoiseSpectrum
from diffmusic.bench.clips import Material
from diffmusic.bench.named import Named
from diffmusic.jobs.inputs import damaged
from diffmusic.metrics.si_sdr import si_sdr
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.operator import Operator
from diffmusic.problem.shrinkage import finished


@dataclass(frozen=True)
class Damage:
    """Clip as an operator measured it.

    Attributes:
        given: the operator as the suite has it.
        bound: the same operator, bound to the clip's rates.
        y: the measurement as the bound operator sees it, (items, channels, ...).
    """

    given: Operator
    bound: BoundOperator
    measured: np.ndarray
    rate: int
    noise_std: float
    y: Tensor

    @classmethod
    def of(cls, named: Named, material: Material, snr: float | None, seed: int) -> Damage:
        """Measure a clip.

        Args:
            snr: of the white noise in the measurement, dB; None for no noise.
            seed: determines the noise.
        """
        given = named.component("operator")
        measured, rate, noise = damaged(given, material.clean, material.sample_rate, snr=snr, seed=seed)
        bound, y = BoundOperator.of(given, measured, rate)
        return cls(given, bound, measured, rate, noise, bound.items(y))

    @property
    def sources(self) -> int:
        """Number of the clip's channels that are mixed in one channel of the measurement."""
        return self.bound.sources

    def stretches(self, samples: int) -> list[tuple[int, int]] | None:
        """What was lost of a clip of that many samples; None where the operator names no stretches."""
        return self.bound.spans(samples) if self.bound.has_place else None

    def items(self, audio: np.ndarray) -> Tensor:
        """Arrange an estimate as the operator expects it: (1, channels, time), or (channels, sources, time)."""
        x = torch.from_numpy(audio)[None]
        return x if self.sources == 1 else x.reshape(self.sources, -1, x.shape[-1]).transpose(0, 1)

    def channels(self, items: Tensor) -> np.ndarray:
        """Arrange an estimate as the clip is, (channels, time); the inverse of ``items``."""
        return items.transpose(0, 1).flatten(0, 1).numpy()

    def finished(self, raw: np.ndarray, highest: float | None = None) -> np.ndarray:
        """Put what was observed back into a raw estimate, less the noise. highest: Hz, of what a prior estimated."""
        channels = self.y.shape[0] * self.y.shape[1]
        noise = NoiseSpectrum.white(self.noise_std, channels, self.bound.measured_rate) if self.noise_std else None
        return self.channels(finished(self.bound, self.items(raw), self.y, noise, highest))

    def misfit(self, estimate: np.ndarray) -> float:
        """Return the relative misfit, ``|A x - y| / |y|``."""
        return float((self.bound.operator.forward(self.items(estimate)) - self.y).norm() / self.y.norm())

    def order(self, clean: np.ndarray, estimate: np.ndarray, rate: int) -> Sequence[int]:
        """Order the channels so that the sources match the true ones best, by SI-SDR.

        A mixture does not tell which source is which.
        """
        channels = np.split(np.arange(len(clean)), self.sources)
        orders = [np.concatenate(each).tolist() for each in permutations(channels)] if self.sources <= 4 else []
        if len(orders) < 2:
            return list(range(len(clean)))
        return max(orders, key=lambda order: si_sdr(clean, estimate[order], rate))
