"""An audio file while it is read: what is wrong with it is said in one line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile

from diffmusic.audio import sources
from diffmusic.audio.source import Source
from diffmusic.errors import InputError


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The samples of a file, while it is read. Raises InputError for whatever is not usable audio."""
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


def told(source: Source, first: int, count: int, there: int) -> list[tuple[int, int]]:
    """Warn of what was promised and could not be read; return the stretches that could not be decoded.

    first, count: what was asked for. there: how many samples came of it.
    """
    rate, notes = source.sample_rate, list(source.notes)
    # What says how many frames of MPEG there are counts some that no decoder gives back.
    slack = 0.1 * rate if source.subtype.startswith("MPEG") else 0
    if there + slack < count and not notes:
        notes.append(f"promises {count / rate:.3f} s in its header, {there / rate:.3f} s could be read")
    lost = [(max(0, a - first), min(there, b - first)) for a, b in source.lost]
    lost = [(a, b) for a, b in lost if a < b]
    if lost:
        told = ", ".join(f"{(a + first) / rate:.3f}:{(b + first) / rate:.3f}" for a, b in lost)
        notes.append(f"is damaged: what was at {told} s cannot be decoded and is silent (`gap` auto restores it)")
    for note in notes:
        warnings.warn(f"{source.path} {note}", stacklevel=3)
    return lost


def mended(path: Path) -> Source:
    """The whole frames of a FLAC file. Raises InputError where there are none."""
    found = sources.mended(path)
    if found is None:
        raise InputError(f"{path} is not audio that can be read: not one frame of it is whole")
    return found


def not_finite(path: Path, place: float) -> InputError:
    """What to say of samples that are no numbers, the first at so many seconds."""
    return InputError(f"{path} holds NaN or infinite samples, the first at {place:.3f} s")
