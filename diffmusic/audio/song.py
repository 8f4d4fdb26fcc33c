"""A recording with gaps, for solvers that look for what is lost in the rest of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from diffmusic.audio.alignment import refined, runs
from diffmusic.audio.consensus import Consensus
from diffmusic.audio.linear_prediction import bridge
from diffmusic.audio.repetition import Match, best_match
from diffmusic.audio.signal import Patch, Samples, Signal
from diffmusic.audio.song_features import Features, features
from diffmusic.audio.splice import copied

Interval = tuple[int, int]
"""``(start, stop)`` in samples."""


@dataclass(frozen=True, eq=False)
class Song:
    """Recording of which some intervals are lost; it is read where it is needed.

    Attributes:
        signal: The recording; silent where it is lost.
        sample_rate: Hz.
        lost: The lost intervals, sorted and disjoint.
    """

    signal: Signal
    sample_rate: int
    lost: tuple[Interval, ...]

    @classmethod
    def of(cls, audio: np.ndarray, sample_rate: int, lost: Sequence[Interval]) -> Song:
        """Take a recording in memory, (channels, time), whatever it holds where it is lost."""
        observed = np.array(audio, dtype=np.float64)
        for start, stop in lost:
            observed[:, start:stop] = 0
        return cls(Samples(observed), sample_rate, tuple(lost))

    @cached_property
    def features(self) -> Features:
        """Log-mel and chroma of all of it."""
        return features(self.signal, self.sample_rate, self.lost)

    def match(self, gap: Interval, context: float = 2.0, pieces: float = 0.9) -> Match | None:
        """Find the place whose surroundings are most like those of a gap.

        Args:
            gap: A lost interval.
            context: Seconds on either side that are compared.
            pieces: Two places are taken where their distance is below this part of one's.

        Returns:
            The best match; None where nothing is long enough.
        """
        rate = self.sample_rate
        found = best_match(self.features, gap[0] / rate, gap[1] / rate, context, pieces)
        return refined(self.signal, rate, self.lost, gap, found, context, pieces) if found else None

    def copied(self, gap: Interval, match: Match, crossfade: float = 0.02) -> tuple[Patch, dict[str, Any]]:
        """Copy a match into its gap.

        Args:
            gap: A lost interval.
            match: Its match.
            crossfade: Seconds inside the gap over which a seam fades.

        Returns:
            What fills the gap, and a note of its source in JSON values.
        """
        seconds = gap[0] / self.sample_rate, gap[1] / self.sample_rate
        consensus = Consensus.of(self.features, *seconds, match)
        filled, note = copied(self.signal, self.sample_rate, self.lost, gap, match, crossfade, consensus)
        return Patch(gap[0], filled), note

    def predicted(self, gap: Interval, context: float, order: int) -> Patch:
        """Fill a gap by linear prediction from both sides.

        Args:
            gap: A lost interval.
            context: Seconds on either side, as far as they are observed, that the prediction is fitted to.
            order: Of the prediction.

        Returns:
            What fills the gap.
        """
        reach = round(context * self.sample_rate)
        before, after = (min(reach, run) for run in runs(self.lost, self.signal.samples, *gap))
        left, right = self.signal.read(gap[0] - before, before), self.signal.read(gap[1], after)
        rows = [bridge(a, b, gap[1] - gap[0], order) for a, b in zip(left, right, strict=True)]
        return Patch(gap[0], np.stack(rows))
