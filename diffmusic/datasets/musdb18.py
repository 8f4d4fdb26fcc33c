"""MUSDB18: songs and their stems in MP4 files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from diffmusic.audio import ffmpeg, files
from diffmusic.datasets.contract import Clip
from diffmusic.datasets.stems import known, subfolder
from diffmusic.errors import InputError
from diffmusic.parameters import Doc

SUFFIX = ".stem.mp4"
STREAMS = ("mixture", "drums", "bass", "other", "vocals")
LAYOUT = f"MUSDB18 is unpacked as train/ and test/, with TRACK{SUFFIX} in each"


@dataclass(frozen=True)
class MUSDB18:
    """Songs of MUSDB18 as stem files, read with ffmpeg.

    They are AAC in stereo at 44.1 kHz, with the streams mixture, drums, bass, other and vocals. A name is that of a
    file without .stem.mp4. Each stream was coded on its own, and everything above 16 kHz is lost, so that the sources
    add up to the mixture only up to that. The samples are those of the package musdb, unrounded, and as many as the
    file declares.

    Source: Z. Rafii et al., "The MUSDB18 corpus for music separation", doi:10.5281/zenodo.1117372; for academic use
    only.
    """

    path: Annotated[Path, Doc("the folder that holds train/ and test/")]
    split: Annotated[Literal["train", "test"], Doc("which songs")] = "test"

    def names(self) -> Sequence[str]:
        """List the songs by name. Raises InputError for a folder of another layout."""
        folder = subfolder(self.path, self.split, LAYOUT)
        found = sorted(each.name.removesuffix(SUFFIX) for each in folder.glob(f"*{SUFFIX}"))
        if not found:
            raise InputError(f"{folder} holds no TRACK{SUFFIX}: {LAYOUT}")
        return found

    def duration(self, name: str, /) -> float:
        """Return the seconds of a song."""
        stream = self._streams(name)[0]
        return stream.samples / stream.sample_rate

    def load(self, name: str, /, start: float = 0.0, seconds: float | None = None) -> Clip:
        """Load a song with its sources."""
        streams = self._streams(name)
        rate, length = streams[0].sample_rate, min(each.samples for each in streams)
        first, count = files.excerpt(start, seconds, rate, length, name)
        mixture, *stems = ffmpeg.decode(self._file(name), streams, first, count)
        return Clip(name, mixture, rate, start, dict(zip(STREAMS[1:], stems, strict=True)))

    def _file(self, name: str) -> Path:
        return self.path / self.split / f"{known(name, self.names())}{SUFFIX}"

    def _streams(self, name: str) -> list[ffmpeg.Stream]:
        found = ffmpeg.streams(self._file(name))
        if len(found) != len(STREAMS) or len({(each.sample_rate, each.channels) for each in found}) != 1:
            raise InputError(f"{self._file(name)} does not hold the {len(STREAMS)} streams {', '.join(STREAMS)}")
        return found
