"""Shared parts of datasets of stems, in which a recording and each of its sources is a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from diffmusic.audio import files
from diffmusic.datasets.contract import Clip
from diffmusic.errors import InputError, suggestion


def read(name: str, mixture: Path, sources: Mapping[str, Path], start: float, seconds: float | None) -> Clip:
    """Read a clip from its file and those of its sources. Raises InputError if one has another rate or shape."""
    whole = files.read(mixture, start, seconds)
    stems = {}
    for source, path in sources.items():
        stem = files.read(path, start, seconds)
        if (stem.sample_rate, stem.samples.shape) != (whole.sample_rate, whole.samples.shape):
            raise InputError(
                f"{path} ({stem.sample_rate} Hz, {stem.samples.shape}) does not go with {mixture.name} "
                f"({whole.sample_rate} Hz, {whole.samples.shape})"
            )
        stems[source] = stem.samples.astype(np.float32)
    return Clip(name, whole.samples.astype(np.float32), whole.sample_rate, start, stems)


def known(name: str, names: Sequence[str]) -> str:
    """Return the name itself. Raises InputError for one that is not among the names."""
    if name not in names:
        raise InputError(f"the dataset holds no {name!r}.{suggestion(name, names) if len(names) <= 200 else ''}")
    return name


def subfolder(path: Path, split: str, expected: str) -> Path:
    """Return the folder of a split. Raises InputError, naming the expected layout, if it is not there."""
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    if not (path / split).is_dir():
        raise InputError(f"{path} holds no folder {split}/: {expected}")
    return path / split
