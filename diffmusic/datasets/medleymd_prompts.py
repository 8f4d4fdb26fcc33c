"""MedleyMDPrompts: captions of the MusicDelta songs of MedleyDB, and target captions for edits."""

from __future__ import annotations

import csv
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np

from diffmusic.audio import files
from diffmusic.datasets.contract import Clip
from diffmusic.datasets.stems import known
from diffmusic.errors import InputError
from diffmusic.parameters import Doc

TABLES = {
    "captions_sources.csv": ("filename", "source_captions"),
    "captions_targets.csv": ("filename", "target_captions", "can_be_used_without_source", "source_caption_index"),
}


@dataclass(frozen=True)
class MedleyMDPrompts:
    """Edits of MedleyDB's MusicDelta songs, one for each target caption.

    An edit has the song, the source caption that belongs to it (``prompt``), and ``target``. Read from
    captions_sources.csv and captions_targets.csv, whose ``source_caption_index`` counts the source captions of a song
    from 1. A name is that of the song and the number of its target: ``MusicDelta_Rock_MIX/3``. Rows that make no edit
    are reported and left out: an invalid index or flag, a target equal to its source caption, the same edit a second
    time, a song that is not in the folder. The audio is MedleyDB's, and does not come with the captions.

    Source: H. Manor and T. Michaeli, arXiv:2402.10009, CC-BY-4.0.
    """

    path: Annotated[Path, Doc("the folder of the two CSV files")]
    audio: Annotated[Path | None, Doc("the folder of the songs, at any depth; the same one if not given")] = None
    without_source: Annotated[bool, Doc("only targets that make sense without the source caption")] = False

    def names(self) -> Sequence[str]:
        """List the edits, in the order of the table. Raises InputError where there is none."""
        return list(self._edits())

    def duration(self, name: str, /) -> float:
        """Return the seconds of the song."""
        return files.duration(self._edit(name).song)

    def load(self, name: str, /, start: float = 0.0, seconds: float | None = None) -> Clip:
        """Load the song, with both captions."""
        edit = self._edit(name)
        recording = files.read(edit.song, start, seconds)
        samples = recording.samples.astype(np.float32)
        return Clip(name, samples, recording.sample_rate, start, prompt=edit.source, target=edit.target)

    def _edits(self) -> Mapping[str, Edit]:
        found = _read(self.path, self.audio or self.path)
        chosen = {name: edit for name, edit in found.items() if edit.free or not self.without_source}
        if not chosen:
            raise InputError(f"{self.path} holds no edit of a song in {self.audio or self.path}")
        return chosen

    def _edit(self, name: str) -> Edit:
        return self._edits()[known(name, self.names())]


@dataclass(frozen=True)
class Edit:
    """Song, source caption, target caption, and whether the target makes sense without the source."""

    song: Path
    source: str
    target: str
    free: bool


@cache
def _read(folder: Path, audio: Path) -> dict[str, Edit]:
    """Read the edits of the two tables, by name; rows that make none are reported, once in a process."""
    sources, targets = (_rows(folder / name, columns) for name, columns in TABLES.items())
    captions: dict[str, list[str]] = defaultdict(list)
    for _, (song, caption) in sources:
        captions[song].append(caption)
    there = {path.name: path for path in files.below(audio)}
    edits: dict[str, Edit] = {}
    numbers: dict[str, int] = defaultdict(int)
    wrong: list[str] = []
    absent: set[str] = set()
    for line, (song, target, flag, index) in targets:
        numbers[song] += 1
        if not index.isdigit() or not 1 <= int(index) <= len(captions[song]):
            wrong.append(f"line {line}: {song} has {len(captions[song])} source captions, and none of number {index!r}")
            continue
        source = captions[song][int(index) - 1]
        edit = Edit(there.get(song, Path()), source, target, flag == "1")
        if flag not in ("0", "1"):
            wrong.append(f"line {line}: the flag {flag!r} is neither 0 nor 1")
        elif target.strip().lower() == source.strip().lower():
            wrong.append(f"line {line}: the target is the source caption")
        elif edit in edits.values():
            wrong.append(f"line {line}: the same edit a second time")
        elif song not in there:
            absent.add(song)
        else:
            edits[f"{Path(song).stem}/{numbers[song]}"] = edit
    for reason in wrong:
        warnings.warn(f"{folder / 'captions_targets.csv'}, {reason}; left out", stacklevel=2)
    if absent:
        named = ", ".join(sorted(absent)[:3]) + (", ..." if len(absent) > 3 else "")
        warnings.warn(f"{audio}: {len(absent)} of {len(numbers)} songs are not there ({named}); left out", stacklevel=2)
    return edits


def _rows(path: Path, columns: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Read the number of each line and its values, in the order of the columns; missing values are empty.

    Raises InputError for a file that is not there, or without these columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path} has no column {missing[0]}: it needs {', '.join(columns)}")
            return [(reader.line_num, [(row[name] or "").strip() for name in columns]) for row in reader]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; MedleyMDPrompts is {' and '.join(TABLES)}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
