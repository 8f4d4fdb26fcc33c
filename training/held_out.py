"""Held-out music for the evaluation: recordings by package, rendered scores by bank."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from training.data import EXCERPT_SECONDS, MEL

LENGTH = round(EXCERPT_SECONDS * MEL.sample_rate)


def sound_files(work: Path, split: str = "test") -> dict[str, list[Path]]:
    """Return the sound files of a split by set: the package of a recording, or the bank of a rendered score."""
    sets: dict[str, list[Path]] = {}
    for row in _rows(work / "recordings" / "manifest.jsonl"):
        if row["split"] == split:
            sets.setdefault(row["package"], []).append(work / "recordings" / split / f"{row['id']}.flac")
    for folder in sorted(work.glob("bank_*")):
        for row in _rows(folder / "corpus" / "manifest.jsonl"):
            if row["split"] == split:
                sets.setdefault(folder.name, []).append(folder / "corpus" / row["clip"])
    return sets


def excerpts(paths: Sequence[Path], count: int) -> Tensor:
    """Return excerpts of the trained length, (count, time), spread evenly over sound files; the same every time."""
    lengths = [soundfile.info(path).frames for path in paths]
    # Places on the line of all files, each short of its last excerpt's length.
    rooms = np.array([max(0, length - LENGTH) for length in lengths])
    ends = np.cumsum(rooms)
    parts = []
    for place in (np.arange(count) + 0.5) / count * ends[-1]:
        index = int(np.searchsorted(ends, place, side="right"))
        start = int(place - (ends[index] - rooms[index]))
        samples, _ = soundfile.read(paths[index], LENGTH, start, dtype="float32", fill_value=0.0)
        parts.append(samples)
    return torch.from_numpy(np.stack(parts))


def _rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
