"""FAD of infinitely many windows, by extrapolation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from diffmusic.errors import InputError
from diffmusic.metrics.embeddings import Embedded
from diffmusic.metrics.fad import frechet_distance
from diffmusic.parameters import Doc, Field

FEWEST = 16


@dataclass(frozen=True)
class FADInfinity(Embedded):
    """FAD of infinitely many windows, lower is better: ``a`` of the least-squares line ``FAD(n) = a + b / n``.

    It may fall below 0. FAD(n): of the whole reference and n windows of the estimate, the mean over ``draws`` subsets
    without replacement, at ``sizes`` sizes from half of all windows to all. The bias of the reference remains, and
    where there are fewer windows than dimensions, some of the estimate's.

    Source: A. Gui et al., "Adapting Fréchet Audio Distance for generative music evaluation", arXiv:2311.01616, after M.
    Chong and D. Forsyth, arXiv:1911.07023. The toolkit of the former draws with replacement, from 500 windows on: such
    subsets are smaller samples of the windows, not of the music, and the line then leads back to FAD itself.
    """

    sizes: Annotated[int, Field(ge=2), Doc("subset sizes")] = 12
    draws: Annotated[int, Field(ge=1), Doc("subsets of each size")] = 4
    seed: Annotated[int, Field(ge=0), Doc("of the subsets")] = 0

    def distance(self, reference: np.ndarray, estimate: np.ndarray, /) -> float:
        """Compute the distance of embeddings, (windows, dimensions) each.

        Raises InputError for fewer than 16 windows of the estimate.
        """
        count = len(estimate)
        if count < FEWEST:
            raise InputError(f"FAD-infinity extrapolates from {FEWEST} or more windows, not from {count}")
        random = np.random.default_rng(self.seed)
        counts = np.unique(np.linspace(count / 2, count, self.sizes).round().astype(int))
        values = [
            np.mean(
                [
                    # All windows are one subset, however often they are drawn.
                    frechet_distance(reference, estimate[random.permutation(count)[:n]])
                    for _ in range(self.draws if n < count else 1)
                ]
            )
            for n in counts
        ]
        return float(np.polyfit(1 / counts, values, 1)[1])
