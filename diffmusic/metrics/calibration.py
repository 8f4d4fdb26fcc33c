"""Calibration of samples: whether they differ from each other as much as the truth differs from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffmusic.audio.mel import MelSpec
from diffmusic.audio.signal import Samples
from diffmusic.audio.spread import lost_log_mel


@dataclass(frozen=True)
class Calibration:
    """Sums over cells of a log-mel, of ``N`` samples with mean ``m`` and variance ``s^2``, and the truth ``M``:

        ratio = sqrt((1 + 1 / N) sum s^2 / sum (M - m)^2)

    It is 1 where the truth could be one more sample, and less where the samples are too sure of themselves. The rank of
    the truth is the number of samples below it, from 0 to ``N``: each as often as the others where it is one of them.

    Attributes:
        spread: ``(1 + 1 / N) sum s^2``.
        error: ``sum (M - m)^2``.
        ranks: Cells by rank, ``N + 1`` numbers.

    Source: V. Fortin et al., "Why should ensemble spread match the RMSE of the ensemble mean?", J. Hydrometeorology
    15(4), 2014; the ranks O. Talagrand et al. 1997.
    """

    spread: float
    error: float
    ranks: tuple[int, ...]

    @classmethod
    def of(cls, truth: np.ndarray, drawn: np.ndarray) -> Calibration:
        """Compare samples, (samples, ...), two at least, with a truth, (...), cell by cell."""
        count = len(drawn)
        ranks = np.bincount((drawn < truth).sum(0).ravel(), minlength=count + 1)
        spread = (1 + 1 / count) * drawn.var(0, ddof=1).sum(dtype=float)
        return cls(float(spread), float(np.square(drawn.mean(0) - truth).sum(dtype=float)), tuple(map(int, ranks)))

    @classmethod
    def of_audio(
        cls, truth: np.ndarray, drawn: Sequence[np.ndarray], sample_rate: int, lost: Sequence[tuple[int, int]]
    ) -> Calibration:
        """Compare audio, (channels, time), in the log-mel of what was lost, stretches ``[start, stop)`` in samples."""
        spec = MelSpec.at(sample_rate)
        mels = [
            np.concatenate([lost_log_mel(Samples(each), *stretch, spec) for stretch in lost], axis=1)
            for each in (truth, *drawn)
        ]
        return cls.of(mels[0], np.stack(mels[1:]))

    def __add__(self, other: Calibration) -> Calibration:
        ranks = tuple(a + b for a, b in zip(self.ranks, other.ranks, strict=True))
        return Calibration(self.spread + other.spread, self.error + other.error, ranks)

    @property
    def ratio(self) -> float:
        """Spread over error; infinite without an error."""
        return float(np.sqrt(self.spread / self.error)) if self.error else float("inf")

    @property
    def histogram(self) -> tuple[float, ...]:
        """Share of the cells by rank, ``1 / (N + 1)`` each where the truth is one more sample."""
        return tuple(each / sum(self.ranks) for each in self.ranks)

    @property
    def outside(self) -> float:
        """Share of the cells where the truth lies below or above all samples, ``2 / (N + 1)`` for one more sample."""
        return self.histogram[0] + self.histogram[-1]
