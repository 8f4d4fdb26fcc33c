"""The contract of a metric: of a recording against its reference, or of one set of recordings against another."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class PairMetric(Protocol):
    """A function, or a frozen dataclass of its parameters that can be called. One that takes a keyword ``prompt`` is
    told what the estimate should sound like, and has no value where nobody said."""

    def __call__(self, reference: np.ndarray, estimate: np.ndarray, sample_rate: int, /) -> float:
        """reference, estimate: (channels, time), of equal shape, full scale 1; sample_rate in Hz."""
        ...


@runtime_checkable
class SetMetric(Protocol):
    """A frozen dataclass of its parameters. Recordings are embedded one by one, wherever they are at hand; what is
    compared in the end are embeddings alone."""

    def embed(self, audio: np.ndarray, sample_rate: int, /) -> np.ndarray:
        """(windows, dimensions), float64, of audio (channels, time)."""
        ...

    def distance(self, reference: np.ndarray, estimate: np.ndarray, /) -> float:
        """Of the embeddings of two sets, (items, dimensions) each. Raises InputError for too few items."""
        ...

    def describe(self) -> dict[str, Any]:
        """What every number has to be accompanied by: the name of the embedding and the hash of its weights."""
        ...


Metric = PairMetric | SetMetric
