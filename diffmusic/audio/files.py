"""Audio files in and out, without changing a sample, a tag or a marker that nobody asked to change."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile

from diffmusic.audio import attached, sources
from diffmusic.audio.attached import Attached
from diffmusic.audio.encode import clipped, encode
from diffmusic.audio.formats import BITS, FORMATS, LOSSY, container, loses, output_format
from diffmusic.audio.sources import Source
from diffmusic.audio.tags import Tags
from diffmusic.errors import InputError

__all__ = [
    "BITS", "FORMATS", "LOSSY", "Recording", "below", "clipped", "container", "duration", "encode", "excerpt", "find",
    "output_format", "read", "with_samples",
]  # fmt: skip


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
    with _opened(path) as source:
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
    notes = list(source.notes)
    # What says how many frames of MPEG there are counts some that no decoder gives back.
    slack = 0.1 * rate if source.subtype.startswith("MPEG") else 0
    if samples.shape[-1] + slack < count and not notes:
        promised, there = count / rate, samples.shape[-1] / rate
        notes.append(f"promises {promised:.3f} s in its header, {there:.3f} s could be read")
    lost = [(max(0, a - first), min(samples.shape[-1], b - first)) for a, b in source.lost]
    lost = [(a, b) for a, b in lost if a < b]
    if lost:
        told = ", ".join(f"{(a + first) / rate:.3f}:{(b + first) / rate:.3f}" for a, b in lost)
        notes.append(f"is damaged: what was at {told} s cannot be decoded and is silent (`gap` auto restores it)")
    for note in notes:
        warnings.warn(f"{path} {note}", stacklevel=2)
    holes = ~np.isfinite(samples).all(axis=0)
    if holes.any():
        if finite:
            place = (first + int(np.argmax(holes))) / rate
            raise InputError(f"{path} holds NaN or infinite samples, the first at {place:.3f} s")
        edges = np.flatnonzero(np.diff(np.concatenate([[False], holes, [False]]).astype(int)))
        lost += [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
    origin = (samples.shape[-1], rate) if whole else (0, 0)
    return Recording(samples, rate, source.format, source.subtype, held, origin, tuple(sorted(lost)))


def find(path: Path) -> Source:
    """The samples of a file, of which none is read yet. Raises InputError for whatever is not usable audio."""
    with _opened(path) as source:
        return source


def duration(path: Path) -> float:
    """Seconds of an audio file. Raises InputError for whatever is not usable audio."""
    with _opened(path) as source:
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
    except soundfile.LibsndfileError:
        if source.format != "FLAC":
            raise
    mended = sources.mended(source.path)
    if mended is None:
        raise InputError(f"{source.path} is not audio that can be read: not one frame of it is whole")
    if (first, count) == (0, source.samples):
        count = mended.samples
    return mended, mended.read(first, count)


@contextmanager
def _opened(path: Path) -> Iterator[Source]:
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if path.is_dir():
            raise InputError(f"{path} is a folder, not an audio file")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is an empty file")
        yield sources.find(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path} is not audio that can be read: {error.error_string}") from None


def below(folder: Path) -> list[Path]:
    """The audio files in a folder and its sub-folders, sorted, without hidden ones. Raises InputError for no folder."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder" if folder.exists() else f"{folder}: no such folder")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in FORMATS and path.is_file()]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def with_samples(like: Recording, samples: np.ndarray, sample_rate: int | None = None) -> Recording:
    """The same kind of file with other samples."""
    return replace(like, samples=samples, sample_rate=sample_rate or like.sample_rate)
