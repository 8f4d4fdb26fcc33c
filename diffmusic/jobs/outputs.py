"""Writing results: all of them or none, never half of one, never over an input."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from diffmusic.errors import InputError


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
        if not path.parent.is_dir():
            raise InputError(f"output folder {path.parent} does not exist")
        try:
            # os.access says nothing of read-only or full file systems: try.
            with tempfile.NamedTemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            raise InputError(f"output folder {path.parent} is not writable: {error.strerror or error}") from None


def _same(path: Path, given: Path) -> bool:
    try:
        return path.samefile(given)
    except OSError:
        return path.resolve() == given.resolve()


def write(contents: Mapping[Path, bytes]) -> None:
    """Write every file under a temporary name beside its place, then rename them all.

    Raises InputError, with nothing written, if the disk is full or a file cannot be made.
    """
    staged: list[tuple[Path, Path]] = []
    try:
        for path, content in contents.items():
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            staged.append((Path(name), path))
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
