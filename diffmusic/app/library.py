"""Recordings that the page shows: files of the user in a private folder, results, and differences of two."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffmusic.app.overview import Overview, Samples, around
from diffmusic.audio import files
from diffmusic.errors import DiffmusicError, InputError, reason

LONGEST = 30.0
"""Seconds of audio in one answer."""
_PREFIX = "diffmusic-app-"


@dataclass(frozen=True)
class Difference:
    """Samples of one recording minus those of another, of the same rate and number of channels."""

    minuend: Samples
    subtrahend: Samples

    @property
    def sample_rate(self) -> int:
        return self.minuend.sample_rate

    @property
    def channels(self) -> int:
        return self.minuend.channels

    @property
    def samples(self) -> int:
        return min(self.minuend.samples, self.subtrahend.samples)

    def read(self, first: int, count: int) -> np.ndarray:
        """Samples of the difference, (channels, count)."""
        return self.minuend.read(first, count) - self.subtrahend.read(first, count)


@dataclass
class Item:
    """A recording that the page shows.

    Attributes:
        key: Name of it in addresses.
        name: Name of its file.
        source: Where its samples come from.
        overview: What has been read of it so far.
        path: Its file; None for a difference.
        shown: The file as the user knows it, for the command to copy.
        of: The recording that a result or a difference was made from.
    """

    key: str
    name: str
    source: Samples
    overview: Overview
    path: Path | None = None
    shown: str = ""
    of: str = ""
    closed: bool = False

    def describe(self) -> dict[str, Any]:
        """What the page is told of it."""
        source, overview = self.source, self.overview
        facts: dict[str, Any] = {
            "key": self.key,
            "name": self.name,
            "of": self.of,
            "shown": self.shown,
            "error": overview.error,
        }
        facts |= {"rate": source.sample_rate, "channels": source.channels, "samples": source.samples}
        facts |= {"kind": f"{getattr(source, 'format', '')} {getattr(source, 'subtype', '')}".strip()}
        facts |= {"done": overview.done / max(1, overview.total), "top": overview.top, "loudness": overview.loudness}
        return facts

    def pcm(self, first: int, count: int) -> bytes:
        """Samples as the player takes them: float32, channel after channel, one or two of them.

        Raises InputError for a stretch that is not all in the recording, or too long.
        """
        if first < 0 or not (0 < count <= LONGEST * self.source.sample_rate):
            raise InputError(f"at most {LONGEST:g} s at a time, from 0 on")
        audio = around(self.source, first, min(count, max(0, self.source.samples - first)))
        if len(audio) > 2:
            audio = audio.mean(0, keepdims=True)
        return audio.tobytes()


class Library:
    """All recordings that are open. Everything it writes lies in one folder, which only this user can read."""

    def __init__(self, limit: int) -> None:
        """Make the folder. limit: bytes of the largest file that is taken in."""
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        (self.folder / "pid").write_text(str(os.getpid()))
        self.limit = limit
        self.items: dict[str, Item] = {}
        self._count = 0
        self._one_at_a_time = threading.Lock()

    def __getitem__(self, key: str) -> Item:
        """Return a recording. Raises InputError for one that is not open."""
        if key not in self.items and key.startswith("d-"):
            self._difference(key)
        if key not in self.items:
            raise InputError(f"no recording {key} is open")
        return self.items[key]

    async def receive(self, name: str, content: AsyncIterator[bytes], announced: int | None = None) -> Item:
        """Take in a file of the user.

        Raises InputError, with nothing kept, for one that is too large or no audio.
        """
        safe = "".join(each for each in Path(name.replace("\\", "/")).name if each.isprintable())[-120:].lstrip(".")
        if not safe:
            raise InputError("the file has no name")
        folder = self.place("file")
        path, size = folder / safe, 0
        try:
            with path.open("wb") as file:
                too_large = (announced or 0) > self.limit
                async for part in content:
                    size += len(part)
                    too_large |= size > self.limit
                    if too_large:
                        raise InputError(f"{safe} is larger than {self.limit / 1e6:.0f} MB (--limit MB raises it)")
                    file.write(part)
            return self.open(path, safe)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def open(self, path: Path, shown: str, of: str = "") -> Item:
        """Open a file. Raises InputError for what is no audio."""
        source = files.find(path)
        if not source.samples:
            raise InputError(f"{path.name} holds no samples")
        return self._add(source, path.name, path, shown, of)

    def place(self, word: str) -> Path:
        """Make a folder of its own for a file or a job."""
        self._count += 1
        folder = self.folder / f"{word}-{self._count}"
        folder.mkdir()
        return folder

    def remove(self, key: str) -> None:
        """Close a recording, and what was made from it; files that were taken in are deleted."""
        for each in [item for item in self.items.values() if key in (item.key, item.of)]:
            self.items.pop(each.key).closed = True
            if each.path and self.folder in each.path.parents:
                each.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Empty the folder and remove it."""
        for item in self.items.values():
            item.closed = True
        shutil.rmtree(self.folder, ignore_errors=True)

    def _difference(self, key: str) -> None:
        _, minuend, subtrahend = [*key.split("-"), "", ""][:3]
        a, b = self[minuend], self[subtrahend]
        if (a.source.sample_rate, a.source.channels) != (b.source.sample_rate, b.source.channels):
            raise InputError(f"{a.name} and {b.name} have no difference: their rates or channels are not the same")
        self._add(Difference(a.source, b.source), f"{a.name} - {b.name}", None, "", minuend, key)

    def _add(self, source: Samples, name: str, path: Path | None, shown: str, of: str, key: str = "") -> Item:
        if not key:
            self._count += 1
            key = f"r{self._count}" if of else f"f{self._count}"
        item = Item(key, name, source, Overview.empty(source), path, shown, of)
        self.items[key] = item
        threading.Thread(target=self._read, args=(item,), daemon=True).start()
        return item

    def _read(self, item: Item) -> None:
        with self._one_at_a_time:
            try:
                item.overview.fill(item.source, lambda: item.closed)
            except (DiffmusicError, RuntimeError, OSError, ValueError) as error:
                item.overview.error = reason(error)


def sweep() -> None:
    """Remove folders of servers that did not end well."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if folder.stat().st_uid == os.getuid() and not _alive(int((folder / "pid").read_text())):
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, ValueError, AttributeError):  # another user's, or a system without user numbers
            continue


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
