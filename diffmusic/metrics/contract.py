"""The contract of a metric: of a recording against its reference, or of one set of recordings against another."""

from __future__ import annotations

import inspect
from typing import Any, Protocol, runtime_checkable

import numpy as np
from typing_extensions import TypeIs

from diffmusic.models.components import load_component
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import bind


@runtime_checkable
class PairMetric(Protocol):
    """A function, or a frozen dataclass of its parameters that can be called. One that takes a keyword ``prompt`` is
    told what the estimate should sound like, and has no value where nobody said."""

    def __call__(self, reference: np.ndarray, estimate: np.ndarray, sample_rate: int, /) -> float:
        """reference, estimate: (channels, time), of equal shape, full scale 1; sample_rate in Hz. NaN where there is
        nothing to measure, such as a silent reference."""
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
        """What every number has to be accompanied by: ``embedding``, its name, and ``sha256``, the hash of its weights.
        Metrics that say the same embed alike: what one has embedded may be given to another."""
        ...


Metric = PairMetric | SetMetric


def load_metric(text: str, access: Access = SAFE) -> Metric:
    """A metric by its name, with parameters if it has any: ``"lsd"``, ``"fad embedding=vae"``.

    access: how the models that it measures with may be had. Raises InputError for what is no metric, or not one with
    these parameters.
    """
    return bind(load_component("metric", text), access=access)  # type: ignore[no-any-return]


def is_set(metric: Metric) -> TypeIs[SetMetric]:
    """Whether it compares sets rather than pairs."""
    return isinstance(metric, SetMetric)


def takes_prompt(metric: Metric) -> bool:
    """Whether it has to be told what the estimate should sound like."""
    return isinstance(metric, PairMetric) and "prompt" in inspect.signature(metric).parameters


def measure(
    metric: PairMetric, reference: np.ndarray, estimate: np.ndarray, sample_rate: int, prompt: str | None = None
) -> float | None:
    """The value of a pair; None for a metric that needs a prompt where there is none."""
    if not takes_prompt(metric):
        return metric(reference, estimate, sample_rate)
    return metric(reference, estimate, sample_rate, prompt=prompt) if prompt else None  # type: ignore[call-arg]
