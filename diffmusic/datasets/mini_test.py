"""Rendered clips that were held out from the training of the mini prior."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from diffmusic.audio import files
from diffmusic.datasets.contract import Clip
from diffmusic.datasets.stems import known, read
from diffmusic.errors import InputError
from diffmusic.parameters import Doc

SOURCES = ("drums", "bass", "lead", "other")


@dataclass(frozen=True)
class MiniTest:
    """Held-out clips of ten seconds, 16 kHz mono, with the sources drums, bass, lead and other.

    ``python -m training.stems`` renders them (training/README.md). Clips whose lead or accompaniment is not louder than
    ``audible`` are left out, so that every problem has the same music. A clip is named by its folder, ``test/piece-0``.
    """

    path: Annotated[Path, Doc("the folder that training works in; it holds stems/")] = Path("training/work")
    split: Annotated[Literal["test", "validation"], Doc("which clips")] = "test"
    audible: Annotated[float, Doc("least loudness of lead and accompaniment, dB")] = -60.0

    def names(self) -> Sequence[str]:
        """List the clips. Raises InputError if they have not been rendered."""
        found = []
        for row in _manifest(self.path / "stems" / "manifest.jsonl"):
            levels = row["loudness"]
            rest = max(level for source, level in levels.items() if source != "lead")
            if row["split"] == self.split and min(levels["lead"], rest) > self.audible:
                found.append(row["clip"].removesuffix(".flac"))
        if not found:
            raise InputError(f"{self.path / 'stems'} holds no audible clip of the split {self.split}")
        return sorted(found)

    def duration(self, name: str, /) -> float:
        """Return the length of a clip, seconds."""
        return files.duration(self._folder(name) / "mixture.flac")

    def load(self, name: str, /, start: float = 0.0, seconds: float | None = None) -> Clip:
        """Load a clip, with its sources."""
        folder = self._folder(name)
        return read(name, folder / "mixture.flac", {s: folder / f"{s}.flac" for s in SOURCES}, start, seconds)

    def _folder(self, name: str) -> Path:
        return self.path / "stems" / known(name, self.names())


@cache
def _manifest(path: Path) -> tuple[dict[str, Any], ...]:
    try:
        return tuple(json.loads(line) for line in path.read_text().splitlines())
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; python -m training.stems renders the clips, as training/README.md says"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
