"""The contract of a dataset: named recordings, read one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from diffmusic.models.components import load_component


@dataclass(frozen=True)
class Clip:
    """A recording, or an excerpt of one.

    audio: (channels, time), float32, full scale 1. sample_rate: Hz. start: seconds into the recording.
    sources: its stems by name, each of the shape of ``audio``, which is their sum (up to what a lossy format did to
    each); empty where there are none.
    prompt: what it is, in words. target: what an edit should make of it.
    """

    name: str
    audio: np.ndarray
    sample_rate: int
    start: float = 0.0
    sources: Mapping[str, np.ndarray] = field(default_factory=dict)
    prompt: str | None = None
    target: str | None = None


@runtime_checkable
class Dataset(Protocol):
    """A frozen dataclass of its parameters; one of them is ``path`` where the data lies in a folder of the user."""

    def names(self) -> Sequence[str]:
        """The recordings, in an order that never changes. Raises InputError where the data is not as expected."""
        ...

    def duration(self, name: str, /) -> float:
        """Seconds of a recording, without reading all of it."""
        ...

    def load(self, name: str, /, start: float = 0.0, seconds: float | None = None) -> Clip:
        """A recording, or the excerpt of that many seconds that begins at ``start``: no more is read than has to be.
        Raises InputError for a name that is not there, and for an excerpt that is not all in the recording."""
        ...


def load_dataset(text: str) -> Dataset:
    """A dataset by its name, with parameters if it has any: ``"folder path=music"``.

    Raises InputError for what is no dataset, or not one with these parameters.
    """
    return load_component("dataset", text)  # type: ignore[no-any-return]
