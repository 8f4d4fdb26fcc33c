"""Scores of several posterior samples of one clip: of the medoid, on the average, and of the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from diffmusic.audio.signal import Samples
from diffmusic.audio.spread import spread
from diffmusic.bench.named import Named
from diffmusic.metrics.calibration import Calibration
from diffmusic.plugins import registry

RATIO, OUTSIDE = "spread/error", "outside"
"""Columns of calibration (``diffmusic.metrics.calibration``)."""
SUFFIXES = (" mean", " best")
"""Of the columns that samples add to each metric; the column itself is the medoid's."""


def medoid(drawn: Sequence[np.ndarray], rate: int, lost: Sequence[tuple[int, int]]) -> int:
    """Return the number of the sample that ``solve`` would leave, of audio (channels, time)."""
    found = spread([Samples(each) for each in drawn], rate, lost)
    return found.order[0] if found else 0


def summary(scores: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Return mean and best of the samples' scores, as ``"lsd mean"`` and ``"lsd best"``."""
    made: dict[str, float] = {}
    for name in scores[0]:
        values = [value for each in scores if (value := each[name]) is not None]
        if not values:
            continue
        spec = registry().components("metric").get(Named.parse(name).name)
        best = max if spec and spec.higher_is_better else min
        made |= {f"{name} mean": float(np.mean(values)), f"{name} best": best(values)}
    return made


def calibration(
    truth: np.ndarray, drawn: Sequence[np.ndarray], rate: int, lost: Sequence[tuple[int, int]]
) -> dict[str, float]:
    """Return the columns of calibration where something was lost."""
    found = Calibration.of_audio(truth, drawn, rate, lost)
    return {RATIO: found.ratio, OUTSIDE: found.outside}
