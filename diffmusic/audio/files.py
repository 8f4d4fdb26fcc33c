"""Audio files in and out, without changing a sample that nobody asked to change."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from diffmusic.errors import InputError

FORMATS = {
    ".wav": "WAV",
    ".flac": "FLAC",
    ".ogg": "OGG",
    ".oga": "OGG",
    ".opus": "OGG",
    ".mp3": "MP3",
    ".aiff": "AIFF",
    ".aif": "AIFF",
}
LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")

_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_TAGS = ("title", "artist", "album", "date", "genre", "tracknumber", "comment", "copyright", "license")
# libsndfile's Vorbis encoder overflows the stack when it is given minutes of audio in one call.
_BLOCK = 65536


@dataclass(frozen=True)
class Recording:
    """An audio file in memory.

    samples: (channels, time), float64, full scale 1. Integer files of up to 32 bits are exact in it.
    sample_rate: Hz.
    format, subtype: libsndfile's names, such as FLAC and PCM_24.
    """

    samples: np.ndarray
    sample_rate: int
    format: str = "WAV"
    subtype: str = "FLOAT"
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.samples.shape[-1] / self.sample_rate

    @property
    def lossy(self) -> bool:
        """Whether writing it changes every sample."""
        return self.subtype in LOSSY


def read(path: Path, start: float = 0.0, seconds: float | None = None) -> Recording:
    """Read an audio file, or the excerpt of it that begins at ``start``; of all else no sample is read.

    Raises InputError, in one line, for whatever is not usable audio, and for an excerpt that is not all in the file.
    """
    with _opened(path) as file:
        first, count = 0, -1
        if start or seconds is not None:
            first, count = excerpt(start, seconds, file.samplerate, file.frames, str(path))
            file.seek(first)
        samples = file.read(count, dtype="float64", always_2d=True).T
        tags = {name: text for name in _TAGS if (text := getattr(file, name))}
        recording = Recording(samples, file.samplerate, file.format, file.subtype, tags)
    if recording.samples.shape[-1] == 0:
        raise InputError(f"{path} holds no samples")
    if not np.isfinite(recording.samples).all():
        first += int(np.argmin(np.isfinite(recording.samples).all(axis=0)))
        raise InputError(f"{path} holds NaN or infinite samples, the first at {first / recording.sample_rate:.3f} s")
    return recording


def duration(path: Path) -> float:
    """Seconds of an audio file, from its header. Raises InputError for whatever is not usable audio."""
    with _opened(path) as file:
        return float(file.frames / file.samplerate)


def excerpt(start: float, seconds: float | None, sample_rate: int, samples: int, name: str) -> tuple[int, int]:
    """The first sample of an excerpt and the number of its samples. Raises InputError, which calls the recording
    ``name``, for one that is not all in a recording of ``samples`` samples."""
    first = round(start * sample_rate)
    count = samples - first if seconds is None else round(seconds * sample_rate)
    if first < 0 or count < 1 or first + count > samples:
        length = "the rest" if seconds is None else f"{seconds:g} s"
        raise InputError(f"{name} lasts {samples / sample_rate:.3f} s: {length} from {start:g} s is not in it")
    return first, count


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if path.is_dir():
            raise InputError(f"{path} is a folder, not an audio file")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is an empty file")
        with soundfile.SoundFile(path) as file:
            yield file
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (soundfile.LibsndfileError, TypeError) as error:  # soundfile has a TypeError for headerless *.raw
        kinds = "WAV, FLAC, OGG, MP3 or AIFF"
        raise InputError(f"{path} is not audio that can be read ({kinds}): {_reason(error)}") from None


def below(folder: Path) -> list[Path]:
    """The audio files in a folder and its sub-folders, sorted, without hidden ones. Raises InputError for no folder."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder" if folder.exists() else f"{folder}: no such folder")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in FORMATS and path.is_file()]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def container(path: Path) -> str:
    """libsndfile's format for a path. Raises InputError for an extension that cannot be written."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: unknown extension {path.suffix!r}; use one of {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]


def output_format(path: Path, like: Recording) -> tuple[str, str]:
    """The format and subtype for a path: those of ``like`` where the format is the same, else the nearest
    that keeps its precision. Raises InputError for an extension that cannot be written."""
    name = container(path)
    if path.suffix.lower() == ".opus":
        return "OGG", "OPUS"
    if like.format.startswith(name):  # WAV also covers WAVEX
        return like.format, like.subtype
    bits = _BITS.get(like.subtype, 32)
    wanted = ["DOUBLE", "FLOAT"] if like.subtype == "DOUBLE" else ["FLOAT"] if like.subtype not in _BITS else []
    wanted += [subtype for subtype, depth in _BITS.items() if depth >= bits] + ["PCM_24"]
    for subtype in wanted:
        if soundfile.check_format(name, subtype):
            return name, subtype
    return name, soundfile.default_subtype(name)


def with_samples(like: Recording, samples: np.ndarray, sample_rate: int | None = None) -> Recording:
    """The same kind of file with other samples."""
    return replace(like, samples=samples, sample_rate=sample_rate or like.sample_rate)


def clipped(recording: Recording) -> int:
    """How many samples the subtype cannot hold because they exceed full scale."""
    bits = _BITS.get(recording.subtype)
    if bits is None and not recording.lossy:
        return 0
    top = 1.0 if bits is None else 1.0 - 2.0 ** (1 - bits)
    # Half a step above the largest code still rounds down to it.
    slack = 0.0 if bits is None else 2.0**-bits
    return int(np.sum((recording.samples > top + slack) | (recording.samples < -1.0 - slack)))


def encode(recording: Recording) -> bytes:
    """The file's bytes. Integer subtypes are rounded to the nearest here, since libsndfile rounds down in
    some containers and not in others. Raises InputError if the format refuses the audio."""
    samples = recording.samples.T
    bits = _BITS.get(recording.subtype)
    if bits is not None:
        scale = 2.0 ** (bits - 1)
        codes = np.clip(np.rint(samples * scale), -scale, scale - 1).astype(np.int64)
        samples = (codes << (32 - bits)).astype(np.int32)
    elif recording.subtype != "DOUBLE":
        samples = samples.astype(np.float32)
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(
            buffer, "w", recording.sample_rate, samples.shape[1], recording.subtype, format=recording.format
        ) as file:
            for name, text in recording.tags.items():
                setattr(file, name, text)
            for start in range(0, len(samples), _BLOCK):
                file.write(samples[start : start + _BLOCK])
    except (soundfile.LibsndfileError, ValueError) as error:
        raise InputError(
            f"{recording.format} ({recording.subtype}) cannot hold {samples.shape[1]} channels at "
            f"{recording.sample_rate} Hz: {_reason(error)}"
        ) from None
    return _undated(buffer.getvalue())


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error))


def _undated(data: bytes) -> bytes:
    """A WAV or AIFF file whose PEAK chunk does not tell when it was written: the same audio is the same bytes."""
    if data[:4] not in (b"RIFF", b"FORM"):
        return data
    order: Literal["little", "big"] = "little" if data[:4] == b"RIFF" else "big"
    at = 12
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 8], order)
        if data[at : at + 4] == b"PEAK":
            return data[: at + 12] + bytes(4) + data[at + 16 :]
        at += 8 + size + size % 2
    return data
