"""An audio file in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from diffmusic.audio.attached import Attached
from diffmusic.audio.formats import loses
from diffmusic.audio.tags import Tags


@dataclass(frozen=True)
class Recording:
    """An audio file in memory.

    samples: (channels, time), float64, full scale 1. Integer files of up to 32 bits are exact in it.
    sample_rate: Hz.
    format, subtype: libsndfile's names, such as FLAC and PCM_24; those of ffmpeg where it has decoded the file.
    attached: everything else that the file holds. origin: its samples and its rate, for which places in it are right.
    lost: stretches (start, stop), in samples, that could not be decoded, and are silent, or that are no numbers.
    """

    samples: np.ndarray
    sample_rate: int
    format: str = "WAV"
    subtype: str = "FLOAT"
    attached: Attached = field(default_factory=Attached)
    origin: tuple[int, int] = (0, 0)
    lost: tuple[tuple[int, int], ...] = ()

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples.shape[-1] / self.sample_rate

    @property
    def lossy(self) -> bool:
        """Whether writing it changes every sample."""
        return loses(self.subtype)

    @property
    def tags(self) -> Tags:
        """What the file says about its music."""
        return self.attached.tags


def with_samples(like: Recording, samples: np.ndarray, sample_rate: int | None = None) -> Recording:
    """The same kind of file with other samples."""
    return replace(like, samples=samples, sample_rate=sample_rate or like.sample_rate)
