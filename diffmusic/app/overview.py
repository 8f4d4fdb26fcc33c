"""One pass over a recording: what its waveform and spectrogram are drawn from when minutes lie in a pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from diffmusic.app.spectrum import ROWS, Spectrum

PEAK = 1 << 8
"""Samples behind one pair of lowest and highest sample."""
COLUMN = 1 << 11
"""Samples from one column of the spectrogram to the next."""
WINDOW = 2 * COLUMN
"""Samples in the window of a column."""
_BLOCK = COLUMN << 8
"""Samples that are read at a time: memory does not grow with the recording."""
_GATE, _BELOW = -70.0, 10.0
"""Gates of loudness: LUFS, and LU below the mean of what passes the first one."""


class Samples(Protocol):
    """Samples of a recording that are read where they are needed."""

    @property
    def sample_rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def samples(self) -> int: ...
    def read(self, first: int, count: int) -> np.ndarray:
        """Samples, (channels, count), full scale 1."""


@dataclass
class Overview:
    """What one pass finds; parts that are not yet reached are 0.

    Attributes:
        peaks: (channels, ceil(samples / PEAK), 2), int16: lowest and highest sample, full scale 32767.
        columns: (ceil(samples / COLUMN), ROWS), uint8: loudness as ``Spectrum`` codes it.
        done: Samples that have been read.
        total: Samples of the recording.
        loudness: LUFS, once all is read; None for silence.
    """

    peaks: np.ndarray
    columns: np.ndarray
    total: int
    done: int = 0
    loudness: float | None = None
    error: str = ""
    _energies: list[np.ndarray] = field(default_factory=list, repr=False)

    @classmethod
    def empty(cls, source: Samples) -> Overview:
        """Make an overview of nothing yet."""
        shape = (source.channels, -(-source.samples // PEAK), 2)
        columns = np.zeros((-(-source.samples // COLUMN), ROWS), np.uint8)
        return cls(np.zeros(shape, np.int16), columns, source.samples)

    @property
    def complete(self) -> bool:
        """Whether all of the recording has been read."""
        return self.done >= self.total

    @property
    def top(self) -> int:
        """Code of the loudest part so far, of a thousand."""
        seen = self.columns[: max(1, self.done // COLUMN)]
        return int(np.percentile(seen.max(axis=1, initial=0), 99.9)) if seen.size else 0

    def fill(self, source: Samples, stopped: Callable[[], bool] = lambda: False) -> None:
        """Read the recording block by block.

        Args:
            source: The recording.
            stopped: Asked before each block whether to leave off.
        """
        spectrum = Spectrum.of(WINDOW, source.sample_rate)
        for first in range(0, source.samples, _BLOCK):
            if stopped():
                return
            count = min(_BLOCK, source.samples - first)
            centred = around(source, first - COLUMN, count + 2 * COLUMN)
            block = centred[:, COLUMN : COLUMN + count]
            self.peaks[:, first // PEAK : -(-(first + count) // PEAK)] = extremes(block, PEAK)
            power, energy = spectrum.power(centred, COLUMN, -(-count // COLUMN))
            self.columns[first // COLUMN : first // COLUMN + len(power)] = spectrum.coded(power)
            self._energies.append(energy)
            self.done = first + count
        self.loudness = _gated(np.concatenate(self._energies)) if self._energies else None
        self._energies.clear()


def around(source: Samples, first: int, count: int) -> np.ndarray:
    """Samples, (channels, count), float32, with silence before the beginning and behind the end."""
    begin, end = max(0, first), min(source.samples, first + count)
    out = np.zeros((source.channels, count), np.float32)
    if end > begin:
        found = source.read(begin, end - begin)
        out[:, begin - first : begin - first + found.shape[-1]] = found
    # Samples that are no numbers are drawn and heard as silence.
    return out if np.isfinite(out.sum()) else np.nan_to_num(out, posinf=0.0, neginf=0.0)


def extremes(audio: np.ndarray, size: int) -> np.ndarray:
    """Lowest and highest sample of every ``size`` samples, (channels, ceil(time / size), 2), int16."""
    missing = -audio.shape[-1] % size
    padded = np.pad(audio, ((0, 0), (0, missing)), mode="edge") if missing else audio
    parts = padded.reshape(len(audio), -1, size)
    both = np.stack([parts.min(-1), parts.max(-1)], axis=-1)
    return (np.clip(both, -1, 1) * 32767).astype(np.int16)


def _gated(energies: np.ndarray) -> float | None:
    """Gated loudness, LUFS, of the K-weighted energies of columns (ITU-R BS.1770-5, over columns instead of blocks of
    400 ms)."""
    levels = -0.691 + 10 * np.log10(np.maximum(energies, 1e-12))
    loud = levels > _GATE
    if not loud.any():
        return None
    mean = -0.691 + 10 * np.log10(energies[loud].mean())
    return float(-0.691 + 10 * np.log10(energies[loud & (levels > mean - _BELOW)].mean()))
