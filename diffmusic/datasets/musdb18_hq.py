"""MUSDB18-HQ: songs and their stems as WAV files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from diffmusic.audio import files
from diffmusic.datasets.contract import Clip
from diffmusic.datasets.stems import known, read, subfolder
from diffmusic.errors import InputError
from diffmusic.parameters import Doc

SOURCES = ("drums", "bass", "other", "vocals")
LAYOUT = "MUSDB18-HQ is unpacked as train/ and test/, with TRACK/{mixture,drums,bass,other,vocals}.wav in each"


@dataclass(frozen=True)
class MUSDB18HQ:
    """Songs in stereo at 44.1 kHz with their sources drums, bass, other and vocals, whose sum they are.

    There are 100 to train and 50 to test. A name is that of a song's folder.

    Source: Z. Rafii et al., "MUSDB18-HQ", doi:10.5281/zenodo.3338373; for academic use only.
    """

    path: Annotated[Path, Doc("the folder that holds train/ and test/")]
    split: Annotated[Literal["train", "test"], Doc("which songs")] = "test"

    def names(self) -> Sequence[str]:
        """List the songs by name. Raises InputError for a folder of another layout, or a song without all its files."""
        folder = subfolder(self.path, self.split, LAYOUT)
        found = sorted(each.parent.name for each in folder.glob("*/mixture.wav"))
        if not found:
            raise InputError(f"{folder} holds no TRACK/mixture.wav: {LAYOUT}")
        for name in found:
            for source in SOURCES:
                if not (folder / name / f"{source}.wav").is_file():
                    raise InputError(f"{folder / name} is incomplete: {source}.wav is missing")
        return found

    def duration(self, name: str, /) -> float:
        """Return the seconds of a song."""
        return files.duration(self._folder(name) / "mixture.wav")

    def load(self, name: str, /, start: float = 0.0, seconds: float | None = None) -> Clip:
        """Load a song with its sources."""
        folder = self._folder(name)
        return read(name, folder / "mixture.wav", {s: folder / f"{s}.wav" for s in SOURCES}, start, seconds)

    def _folder(self, name: str) -> Path:
        return self.path / self.split / known(name, self.names())
