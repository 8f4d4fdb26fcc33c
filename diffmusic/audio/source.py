"""The samples of a file, from one decoder or several, read where they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from diffmusic.audio.signal import BLOCK


@dataclass(frozen=True)
class Piece:
    """Samples that come from one decoder: they begin at ``start`` in the file, after ``skip`` that are none of its."""

    start: int
    samples: int
    open: Callable[[], soundfile.SoundFile]
    skip: int = 0


@dataclass(frozen=True)
class Source:
    """The samples of a file, read where they are needed.

    format, subtype: libsndfile's names, or those of ffmpeg, in capitals. lost: stretches, in samples, that could not be
    decoded; they are silent. notes: what the user should know, in lines that begin with a verb.
    """

    path: Path
    sample_rate: int
    channels: int
    samples: int
    format: str
    subtype: str
    pieces: Sequence[Piece] = ()
    lost: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()
    decoded: np.ndarray | None = field(default=None, repr=False)

    def read(self, first: int, count: int) -> np.ndarray:
        """Samples, (channels, time), float64, full scale 1; fewer only where the file ends before its header says.

        Raises soundfile.LibsndfileError for what cannot be decoded.
        """
        if self.decoded is not None:
            return np.array(self.decoded[first : first + count].T, dtype=np.float64, order="C")
        if len(self.pieces) == 1 and self.pieces[0].samples == self.samples:
            return self._piece(self.pieces[0], first, count).T
        out = np.zeros((count, self.channels))
        for piece in self.pieces:
            begin, end = max(first, piece.start), min(first + count, piece.start + piece.samples)
            if begin < end:
                found = self._piece(piece, begin - piece.start, end - begin)
                out[begin - first : begin - first + len(found)] = found
        return out.T

    def blocks(self) -> Iterator[np.ndarray]:
        """The same from the first sample to the last, in order; a decoder does not seek."""
        if self.decoded is None and len(self.pieces) == 1 and self.pieces[0].samples == self.samples:
            (piece,) = self.pieces
            with piece.open() as file:
                file.seek(piece.skip)
                while len(block := file.read(BLOCK, dtype="float64", always_2d=True)):
                    yield block.T
            return
        for first in range(0, self.samples, BLOCK):
            yield self.read(first, min(BLOCK, self.samples - first))

    @staticmethod
    def _piece(piece: Piece, first: int, count: int) -> np.ndarray:
        with piece.open() as file:
            if first + piece.skip:
                file.seek(first + piece.skip)
            return file.read(count, dtype="float64", always_2d=True)
