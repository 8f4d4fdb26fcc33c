"""Results of an edit: in memory, or read where they are needed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from diffmusic.audio.signal import Signal, whole
from diffmusic.prior.backbone import Costs
from diffmusic.tasks.result import Result


@dataclass(frozen=True, kw_only=True)
class Edited(Result):
    """Edited recordings.

    Attributes:
        audio: The edits, (targets * samples, channels, time): the first target's samples, then those of the second.
        sigmas: Noise levels walked.
        stretch: Interval of the recording that was edited, (start, stop) in seconds.
    """

    sigmas: tuple[float, ...]
    stretch: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class EditedSignals:
    """The same with audio that is read where it is needed; ``draws`` are in the order of ``Edited.audio``.

    ``round_trip`` is the recording with the stretch encoded and decoded, where it was asked for.
    """

    draws: tuple[Signal, ...]
    round_trip: Signal | None
    sample_rate: int
    costs: Costs
    seconds: float
    sigmas: tuple[float, ...]
    stretch: tuple[float, float]

    @property
    def in_memory(self) -> Edited:
        """All of it as arrays."""
        held = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        del held["draws"], held["round_trip"]
        return Edited(audio=np.stack([whole(each) for each in self.draws]), **held)
