"""Writing results: all of them or none, never half of one, never over an input."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from diffmusic.audio import formats
from diffmusic.audio.formats import Kind
from diffmusic.errors import InputError

_SPARE = 1 << 20
"""Free bytes needed in addition to the audio, for run record, picture and tags."""


def check(paths: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Raise InputError, before any work is done, if a path cannot be written or is an input."""
    seen: set[Path] = set()
    for path in paths:
        resolved = path.resolve()
        if any(_same(path, given) for given in inputs):
            raise InputError(f"output {path} would overwrite an input; choose another name with -o")
        if resolved in seen:
            raise InputError(f"output {path} would be written twice; choose different names")
        seen.add(resolved)
        if path.is_dir():
            raise InputError(f"output {path} is a folder; give a file name")
        folder = _there(path.parent)
        if not folder.is_dir():
            raise InputError(f"output folder {path.parent} cannot be made: {folder} is a file")
        try:
            # os.access says nothing of read-only or full file systems: try.
            with tempfile.NamedTemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise InputError(f"output folder {folder} is not writable: {error.strerror or error}") from None


def check_formats(
    paths: Sequence[Path], like: Kind, sample_rate: int, channels: int, samples: int, subtype: str | None = None
) -> None:
    """Raise InputError, before any work is done, if a file cannot hold its part of the result or the disk cannot hold
    them all.

    Args:
        paths: the files, each of which has ``channels``.
        like: the kind of the file that they come from.
        sample_rate: of the result, Hz.
        channels: of each file.
        samples: of each channel.
        subtype: the one that is asked for.
    """
    needed: dict[Path, int] = {}
    for path in paths:
        kind = formats.output_format(path, like, subtype)
        formats.check(path, kind, sample_rate, channels)
        width = 8 if kind[1] == "DOUBLE" else formats.BITS.get(kind[1], 32) // 8
        # What is compressed is smaller, by at least a tenth where it is lossy.
        share = 0.1 if formats.loses(kind[1]) else 0.5 if kind[0] == "FLAC" else 1.0
        folder = _there(path.parent)
        needed[folder] = needed.get(folder, _SPARE) + round(share * samples * channels * width)
    for folder, size in needed.items():
        total, _, free = shutil.disk_usage(folder)
        if total and size > free:  # a folder that is on no disk has none in all
            raise InputError(f"the disk of {folder} has {free / 1e6:.0f} MB left; the result needs {size / 1e6:.0f} MB")


def _there(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    return next(each for each in (folder, *folder.absolute().parents) if each.exists())


def _same(path: Path, given: Path) -> bool:
    try:
        return path.samefile(given)
    except OSError:
        return path.resolve() == given.resolve()


Content = bytes | Callable[[BinaryIO], None]
"""What a file is to hold, or what writes it into one that is open for reading and writing."""


def write(contents: Mapping[Path, Content]) -> None:
    """Write every file under a temporary name beside its place, then rename them all.

    Raises InputError, with nothing written, if the disk is full or a file cannot be made.
    """
    staged: list[tuple[Path, Path]] = []
    made: list[Path] = []
    try:
        for path, content in contents.items():
            made += [each for each in (path.parent, *path.parent.parents) if not each.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            staged.append((Path(name), path))
            with os.fdopen(descriptor, "w+b") as file:
                fill(file, content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())
        for temporary, path in staged:
            os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)
        for folder in made:
            with suppress(OSError):  # it holds the results, unless something went wrong
                folder.rmdir()


def fill(file: BinaryIO, content: Content) -> None:
    """Write the content of a file into it."""
    if isinstance(content, bytes):
        file.write(content)
    else:
        content(file)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
