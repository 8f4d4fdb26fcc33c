"""The contract of a dataset: named recordings, read one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from diffmusic.models.components import load_component


@dataclass(frozen=True)
class Clip:
    """Recording, or an excerpt of one.

    Attributes:
        name: Name in the dataset.
        audio: (channels, time), float32, full scale 1.
        sample_rate: Hz.
        start: Beginning in the recording, seconds.
        sources: Stems by name, each of the shape of ``audio``, which is their sum (up to what a lossy format did to
            each); empty where there are none.
        prompt: Text of the recording.
        target: Text of what an edit should make of it.
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
    """Named recordings: a frozen dataclass of parameters, with ``path`` where the data lies in a folder of the user."""

    def names(self) -> Sequence[str]:
        """Return the names of the recordings, in an order that never changes.

        Returns:
            A name for each recording, all different.

        Raises:
            InputError: The data is not as expected.
        """
        ...

    def duration(self, name: str, /) -> float:
        """Return the length of a recording, without reading all of it.

        Args:
            name: One of ``names``.

        Returns:
            Seconds.

        Raises:
            InputError: There is no such recording.
        """
        ...

    def load(self, name: str, /, start: float = 0.0, seconds: float | None = None) -> Clip:
        """Read a recording, or an excerpt of it, and no more than that.

        Args:
            name: One of ``names``.
            start: Beginning of the excerpt, seconds.
            seconds: Its length; None is all that follows.

        Returns:
            The audio, with stems and texts where there are any.

        Raises:
            InputError: There is no such recording, or the excerpt is not all in it.
        """
        ...


def load_dataset(text: str) -> Dataset:
    """Load a dataset by its name, with parameters if it has any: ``"folder path=music"``.

    Args:
        text: Name and parameters, as on the command line.

    Returns:
        The dataset.

    Raises:
        InputError: There is no such dataset or parameter, or a value is not one.
    """
    return load_component("dataset", text)  # type: ignore[no-any-return]
