"""A file some of whose bytes are read as others."""

from __future__ import annotations

import io
from pathlib import Path


class Overlay(io.RawIOBase):
    """A file some of whose bytes are others."""

    def __init__(self, path: Path, at: int, content: bytes) -> None:
        self._file, self._at, self._content = path.open("rb"), at, content

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        at = self._file.tell()
        count = self._file.readinto(buffer)
        for number, byte in enumerate(self._content):
            place = self._at + number - at
            if 0 <= place < count:
                buffer[place : place + 1] = bytes([byte])
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
