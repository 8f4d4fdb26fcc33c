"""Where posterior samples differ, by how much, and which of them is in their middle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import torch

from diffmusic.audio.mel import LogMel, MelSpec, mel_filters
from diffmusic.audio.signal import Signal

DECIBELS = 20 / math.log(10)
"""dB in a neper, the unit of a log-mel."""
_BLOCK, _MOST = 0.25, 40  # seconds of a block, and blocks of one stretch at most
_OCTAVES = 125 * 2.0 ** np.arange(9)  # Hz


@dataclass(frozen=True)
class Block:
    """Spread of samples in a stretch of time, by octave band.

    Attributes:
        start: Beginning, seconds.
        stop: End, seconds.
        decibels: By band, dB.
    """

    start: float
    stop: float
    decibels: tuple[float, ...]


@dataclass(frozen=True)
class Spread:
    """Differences of posterior samples where something was lost, in their log-mels ``M_n``:

        s = sqrt(mean var_n M_n)       the mean over the cells of a block, the variance over the samples, in dB
        d_n = mean_(m != n) mean |M_n - M_m|        over all cells, nats

    Attributes:
        distances: ``d_n``, by sample.
        edges: Of the octave bands, Hz, one more than there are bands.
        blocks: In order of time.
    """

    distances: tuple[float, ...]
    edges: tuple[float, ...]
    blocks: tuple[Block, ...]

    @property
    def order(self) -> list[int]:
        """The samples, the medoid first: the one with the least ``d_n``, from which the others differ least."""
        return sorted(range(len(self.distances)), key=lambda sample: self.distances[sample])

    @cached_property
    def overall(self) -> float:
        """Root mean square over time and bands, dB."""
        seconds = [block.stop - block.start for block in self.blocks]
        power = [np.mean(np.square(block.decibels)) for block in self.blocks]
        return float(np.sqrt(np.average(power, weights=seconds)))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a run record."""
        return {
            "order": self.order,
            "distances": [round(each, 4) for each in self.distances],
            "overall_db": round(self.overall, 3),
            "edges_hz": list(self.edges),
            "seconds": [[round(block.start, 3), round(block.stop, 3)] for block in self.blocks],
            "spread_db": [[round(each, 2) for each in block.decibels] for block in self.blocks],
        }

    def text(self) -> str:
        """Say in a line how far the samples differ, and where most."""
        block = max(self.blocks, key=lambda each: max(each.decibels))
        band = int(np.argmax(block.decibels))
        low, high = self.edges[band : band + 2]
        return (
            f"{len(self.distances)} samples, which differ by {self.overall:.1f} dB; most, by "
            f"{block.decibels[band]:.1f} dB, at {block.start:.2f}-{block.stop:.2f} s from {low:g} to {high:g} Hz"
        )


def spread(draws: Sequence[Signal], sample_rate: int, lost: Sequence[tuple[int, int]]) -> Spread | None:
    """Compare posterior samples where something was lost.

    Args:
        draws: The samples.
        sample_rate: Hz.
        lost: Stretches ``[start, stop)`` in samples.

    Returns:
        Their spread; None for a single sample, or where nothing was lost.
    """
    if len(draws) < 2 or not lost:
        return None
    spec = MelSpec.at(sample_rate)
    edges = np.array([0.0, *_OCTAVES[0.9 * sample_rate / 2 > _OCTAVES], sample_rate / 2])
    centres = mel_filters(spec, torch.float64, torch.device("cpu")).argmax(1).numpy() * sample_rate / spec.n_fft
    band = np.clip(np.digitize(centres, edges) - 1, 0, len(edges) - 2)
    bands = np.unique(band)
    apart, cells, blocks = np.zeros((len(draws), len(draws))), 0, list[Block]()
    for start, stop in lost:
        mels = np.stack([lost_log_mel(drawn, start, stop, spec) for drawn in draws])
        for n, m in combinations(range(len(draws)), 2):
            apart[n, m] = apart[m, n] = apart[n, m] + np.abs(mels[n] - mels[m]).sum()
        cells += mels[0].size
        variance = np.square(DECIBELS) * mels.var(0, ddof=1).mean(0)  # (frames, bands), the mean of the channels
        parts = min(_MOST, len(variance), math.ceil((stop - start) / sample_rate / _BLOCK))
        for number, part in enumerate(np.array_split(variance, parts)):
            first, last = ((start + (stop - start) * k / parts) / sample_rate for k in (number, number + 1))
            blocks.append(Block(first, last, tuple(float(np.sqrt(part[:, band == k].mean())) for k in bands)))
    distances = apart.sum(1) / cells / (len(draws) - 1)
    own = [0.0, *(float(edges[k]) for k in bands[1:]), float(edges[-1])]
    return Spread(tuple(map(float, distances)), tuple(own), tuple(blocks))


def lost_log_mel(signal: Signal, start: int, stop: int, spec: MelSpec) -> np.ndarray:
    """Return the frames whose centres lie in a stretch, one at least, (channels, frames, bands), nats."""
    margin = 2 * spec.n_fft // spec.hop * spec.hop
    first = max(0, start - margin) // spec.hop * spec.hop
    audio = signal.read(first, min(stop + margin, signal.samples) - first)
    mels: np.ndarray = LogMel(spec)(torch.from_numpy(audio)).numpy()
    centre = first + (np.arange(mels.shape[1]) + 0.5) * spec.hop
    inside = (centre >= start) & (centre < stop)
    if not inside.any():
        inside[np.abs(centre - (start + stop) / 2).argmin()] = True
    return mels[:, inside]
