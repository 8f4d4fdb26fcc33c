"""A clip as an operator measured it, and how an estimate of it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from diffmusic.bench.clips import Material
from diffmusic.bench.named import Named
from diffmusic.jobs.inputs import damaged
from diffmusic.metrics.si_sdr import si_sdr
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.operator import Operator


@dataclass(frozen=True)
class Damage:
    """A clip as it was measured. given: the operator as the suite has it; bound: the same at the clip's rates; y: the
    measurement as that sees it, (items, channels, ...)."""

    given: Operator
    bound: BoundOperator
    measured: np.ndarray
    rate: int
    noise_std: float
    y: Tensor

    @classmethod
    def of(cls, named: Named, material: Material, snr: float | None, seed: int) -> Damage:
        """snr: of the white noise in the measurement, dB; None is none. seed: the noise is a function of it."""
        given = named.component("operator")
        measured, rate, noise = damaged(given, material.clean, material.sample_rate, snr=snr, seed=seed)
        bound, y = BoundOperator.of(given, measured, rate)
        return cls(given, bound, measured, rate, noise, bound.items(y))

    @property
    def sources(self) -> int:
        """How many channels of the clip one of the measurement mixes."""
        return self.bound.sources

    def stretches(self, samples: int) -> list[tuple[int, int]] | None:
        """What was lost of a clip of that many samples; None where the operator names no stretches."""
        return self.bound.spans(samples) if self.bound.has_place else None

    def items(self, audio: np.ndarray) -> Tensor:
        """An estimate as the operator sees it: (1, channels, time), or (channels, sources, time)."""
        x = torch.from_numpy(audio)[None]
        return x if self.sources == 1 else x.reshape(self.sources, -1, x.shape[-1]).transpose(0, 1)

    def channels(self, items: Tensor) -> np.ndarray:
        """An estimate as the clip has it, (channels, time); undoes ``items``."""
        return items.transpose(0, 1).flatten(0, 1).numpy()

    def finished(self, raw: np.ndarray) -> np.ndarray:
        """With what was observed put back."""
        return self.channels(self.bound.finish(self.items(raw), self.y))

    def misfit(self, estimate: np.ndarray) -> float:
        """``|A x - y| / |y|``."""
        return float((self.bound.operator.forward(self.items(estimate)) - self.y).norm() / self.y.norm())

    def order(self, clean: np.ndarray, estimate: np.ndarray, rate: int) -> Sequence[int]:
        """Channels in the order in which sources are most like the true ones, by SI-SDR: which is which, a mixture
        does not say."""
        channels = np.split(np.arange(len(clean)), self.sources)
        orders = [np.concatenate(each).tolist() for each in permutations(channels)] if self.sources <= 4 else []
        if len(orders) < 2:
            return list(range(len(clean)))
        return max(orders, key=lambda order: si_sdr(clean, estimate[order], rate))
