"""Dataset of any folder of audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from diffmusic.audio import files
from diffmusic.datasets.contract import Clip
from diffmusic.errors import InputError
from diffmusic.parameters import Doc


@dataclass(frozen=True)
class Folder:
    """Every audio file in a folder and its sub-folders (WAV, FLAC, OGG, MP3, AIFF), sorted by path.

    A name is the path below the folder, such as ``album/song.flac``. Hidden files are left out; there are neither stems
    nor captions.
    """

    path: Annotated[Path, Doc("the folder")]

    def names(self) -> Sequence[str]:
        """List the paths below the folder. Raises InputError for a folder without audio."""
        found = [path.relative_to(self.path).as_posix() for path in files.below(self.path)]
        if not found:
            raise InputError(f"folder {self.path} holds no audio file ({', '.join(files.FORMATS)})")
        return found

    def duration(self, name: str, /) -> float:
        """Return the seconds of a recording, from the file's header."""
        return files.duration(self.path / name)

    def load(self, name: str, /, start: float = 0.0, seconds: float | None = None) -> Clip:
        """Load one recording, all its channels at its own rate."""
        recording = files.read(self.path / name, start, seconds)
        return Clip(name, recording.samples.astype(np.float32), recording.sample_rate, start)
