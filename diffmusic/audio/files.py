"""Audio files in and out, without changing a sample, a tag or a marker that nobody asked to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile

from diffmusic.audio import attached
from diffmusic.audio.encode import clipped, encode, exceeding, write
from diffmusic.audio.formats import BITS, FORMATS, LOSSY, container, output_format
from diffmusic.audio.opened import mended, not_finite, opened, told
from diffmusic.audio.recording import Recording, with_samples
from diffmusic.audio.signal import Signal
from diffmusic.audio.source import Source
from diffmusic.errors import InputError

__all__ = [
    "BITS", "FORMATS", "LOSSY", "Recording", "below", "check_finite", "clipped", "container", "duration", "encode",
    "exceeding", "excerpt", "find", "finite", "output_format", "read", "scanned", "with_samples", "write",
]  # fmt: skip

T = TypeVar("T")


def read(path: Path, start: float = 0.0, seconds: float | None = None, finite: bool = True) -> Recording:
    """Read an audio file, or the excerpt of it that begins at ``start``; of all else no sample is read.

    Warns of what its header promises and could not be read, and of what could not be decoded.

    Args:
        path: the file; whatever libsndfile or ffmpeg reads.
        start: seconds.
        seconds: the length of the excerpt; the rest of the file by default.
        finite: whether samples that are no numbers are an error; else they are in ``lost``.

    Raises:
        InputError: in one line, for whatever is not usable audio, and for an excerpt that is not all in the file.
    """
    with opened(path) as source:
        whole = not start and seconds is None
        first, count = (0, source.samples) if whole else excerpt(
            start, seconds, source.sample_rate, source.samples, str(path)
        )  # fmt: skip
        source, samples = _decoded(source, first, count)
        count = source.samples if whole else count
        with path.open("rb") as file:
            held = attached.read(file)
    rate = source.sample_rate
    if samples.shape[-1] == 0:
        raise InputError(f"{path} holds no samples")
    lost = told(source, first, count, samples.shape[-1])
    holes = ~np.isfinite(samples).all(axis=0)
    if holes.any():
        if finite:
            raise not_finite(path, (first + int(np.argmax(holes))) / rate)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], holes, [False]]).astype(int)))
        lost += [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
    origin = (samples.shape[-1], rate) if whole else (0, 0)
    return Recording(samples, rate, source.format, source.subtype, held, origin, tuple(sorted(lost)))


def scanned(path: Path, measure: Callable[[int, Iterator[np.ndarray]], T]) -> tuple[Recording, Signal, T]:
    """Open an audio file whose samples are read where they are needed, after a look at each of them.

    Warns as ``read`` does.

    Args:
        path: the file.
        measure: what is to be found out of all its samples: it is given their rate, Hz, and the samples in order, in
            blocks (channels, time).

    Returns:
        The recording without its samples, these as a signal, and what ``measure`` made of them.

    Raises:
        InputError: the file is no usable audio.
    """
    with opened(path) as source:
        promised = source.samples
        try:
            found, there = _counted(source, measure)
            failed = there < promised
        except soundfile.LibsndfileError:
            if source.format != "FLAC":
                raise
            failed = True
        if failed and source.format == "FLAC":
            source = mended(path)
            promised = source.samples
            found, there = _counted(source, measure)
        with path.open("rb") as file:
            held = attached.read(file)
    if there == 0:
        raise InputError(f"{path} holds no samples")
    lost = told(source, 0, promised, there)
    source = replace(source, samples=there)
    empty, rate = np.zeros((source.channels, 0)), source.sample_rate
    like = Recording(empty, rate, source.format, source.subtype, held, (there, rate), tuple(sorted(lost)))
    return like, source, found


def finite(path: Path, sample_rate: int, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Pass on a file's samples, in blocks. Raises InputError where they are no numbers."""
    first = 0
    for block in blocks:
        there = np.isfinite(block).all(axis=0)
        if not there.all():
            raise not_finite(path, (first + int(np.argmin(there))) / sample_rate)
        first += block.shape[-1]
        yield block


def check_finite(path: Path, sample_rate: int, blocks: Iterator[np.ndarray]) -> None:
    """Raise InputError where a file's samples, in blocks, are no numbers: a ``measure`` of ``scanned``."""
    for _ in finite(path, sample_rate, blocks):
        pass


def _counted(source: Source, measure: Callable[[int, Iterator[np.ndarray]], T]) -> tuple[T, int]:
    """What is found out of all samples, and how many there are."""
    there = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal there
        for block in source.blocks():
            there += block.shape[-1]
            yield block

    found = measure(source.sample_rate, blocks())
    return found, there


def find(path: Path) -> Source:
    """The samples of a file, of which none is read yet. Raises InputError for whatever is not usable audio."""
    with opened(path) as source:
        return source


def duration(path: Path) -> float:
    """Seconds of an audio file. Raises InputError for whatever is not usable audio."""
    with opened(path) as source:
        return source.samples / source.sample_rate


def excerpt(start: float, seconds: float | None, sample_rate: int, samples: int, name: str) -> tuple[int, int]:
    """The first sample of an excerpt and the number of its samples. Raises InputError, which calls the recording
    ``name``, for one that is not all in a recording of ``samples`` samples."""
    first = round(start * sample_rate)
    count = samples - first if seconds is None else round(seconds * sample_rate)
    if first < 0 or count < 1 or first + count > samples:
        length = "the rest" if seconds is None else f"{seconds:g} s"
        raise InputError(f"{name} lasts {samples / sample_rate:.3f} s: {length} from {start:g} s is not in it")
    return first, count


def _decoded(source: Source, first: int, count: int) -> tuple[Source, np.ndarray]:
    """The samples of a source, and the source that has them: of a damaged FLAC file its whole frames."""
    try:
        samples = source.read(first, count)
        if samples.shape[-1] == count or source.format != "FLAC":
            return source, samples
    except (soundfile.LibsndfileError, MemoryError):  # a broken header may promise more than there is memory
        if source.format != "FLAC":
            raise
    whole = mended(source.path)
    if (first, count) == (0, source.samples):
        count = whole.samples
    return whole, whole.read(first, count)


def below(folder: Path) -> list[Path]:
    """The audio files in a folder and its sub-folders, sorted, without hidden ones. Raises InputError for no folder."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder" if folder.exists() else f"{folder}: no such folder")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in FORMATS and path.is_file()]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
