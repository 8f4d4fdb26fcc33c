"""The files that a command line names: those in a folder, what stdin holds, and what is passed over."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from diffmusic.audio import files
from diffmusic.cli.jobs import STREAM
from diffmusic.cli.terminal import say
from diffmusic.errors import InputError

BY_FFMPEG = (
    ".m4a", ".m4b", ".mp4", ".mov", ".mka", ".mkv", ".webm", ".wma", ".aac", ".ac3", ".ape", ".wv", ".tta", ".amr",
    ".3gp", ".avi",
)  # fmt: skip
"""Extensions of what ffmpeg reads, where it is installed."""
_SHOWN = 5


@contextmanager
def expanded(paths: Sequence[Path], word: str = "restored") -> Iterator[tuple[Path, ...]]:
    """The files that are named, for a folder the audio files in it, and for ``-`` what stdin holds.

    What was made before, NAME.word.EXT, is passed over. Raises InputError for a folder without audio.
    """
    with tempfile.TemporaryDirectory() as folder:
        found: list[Path] = []
        for path in paths:
            if path == STREAM:
                found.append(_stdin(Path(folder)))
            else:
                found += _inside(path, word) if path.is_dir() else [path]
        yield tuple(found)


def _stdin(folder: Path) -> Path:
    path = folder / "stdin"
    if path.exists():
        raise InputError("stdin can be read once")
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def _inside(folder: Path, word: str) -> list[Path]:
    known = (*files.FORMATS, *(BY_FFMPEG if shutil.which("ffmpeg") else ()))
    inside = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    audio = [each for each in inside if each.is_file() and each.suffix.lower() in known]
    found = [each for each in audio if f".{word}" not in each.stem]
    left = [f"{each.name}/" if each.is_dir() else each.name for each in inside if each not in audio]
    left = [name for name in left if not (name.endswith(".json") and (folder / name[:-5]).is_file())]
    if not found:
        raise InputError(f"folder {folder} holds no audio file ({', '.join(known)})")
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        say(f"note: in {folder} passed over: {', '.join(left[:_SHOWN])}{more}", err=True)
    if any(name.endswith("/") for name in left):
        say(f"note: of the folders in {folder} nothing is read: name those that are meant", err=True)
    return found
