"""The contract of a metric: of a recording against its reference, or of one set of recordings against another."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from typing_extensions import TypeIs

from diffmusic.audio.signal import Samples, Signal, whole
from diffmusic.models.components import load_component
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import bind


@runtime_checkable
class PairMetric(Protocol):
    """Metric of an estimate against its reference: a function, or a frozen dataclass that can be called.

    One that takes a keyword ``prompt`` is told what the estimate should sound like, and has no value where nobody said.
    One that takes a keyword ``damage`` is told which stretches of the recording were lost, pairs of samples
    ``(start, stop)``, and measures there, with the sound around it at hand; None stands for the whole recording. Other
    metrics are given the stretches one by one, cut out. One that noise says little of, such as one of notes, may have a
    method ``probe()`` for its checks, which returns a reference, several estimates of it from good to bad, (channels,
    time) each, and their rate in Hz.
    """

    def __call__(self, reference: np.ndarray, estimate: np.ndarray, sample_rate: int, /) -> float:
        """Measure a pair.

        Args:
            reference: The truth, (channels, time), full scale 1.
            estimate: The same, of equal shape.
            sample_rate: Hz.

        Returns:
            The value; NaN where there is nothing to measure, such as a silent reference.
        """
        ...


@runtime_checkable
class SetMetric(Protocol):
    """Metric of a set of recordings against another: a frozen dataclass of its parameters.

    Recordings are embedded one by one, wherever they are at hand; embeddings alone are compared in the end.
    """

    def embed(self, audio: np.ndarray, sample_rate: int, /) -> np.ndarray:
        """Embed a recording.

        Args:
            audio: (channels, time), full scale 1.
            sample_rate: Hz.

        Returns:
            A vector for each window, (windows, dimensions), float64.
        """
        ...

    def distance(self, reference: np.ndarray, estimate: np.ndarray, /) -> float:
        """Compare the embeddings of two sets.

        Args:
            reference: (items, dimensions).
            estimate: (items, dimensions).

        Returns:
            The distance.

        Raises:
            InputError: There are too few items.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Describe the embedding; it is reported with every value.

        Metrics with the same description embed alike: the embeddings of one may be given to another.

        Returns:
            ``embedding``, its name, ``sha256``, the hash of its weights, and more in plain values.
        """
        ...


@runtime_checkable
class HasDescribe(Protocol):
    """Metric of pairs that says what its values depend on, such as the weights of a model."""

    def describe(self) -> dict[str, Any]: ...


@runtime_checkable
class HasSignals(Protocol):
    """Metric of pairs of which recordings of any length are read block by block (``streamed``)."""

    def of_signals(self, reference: Signal, estimate: Signal, sample_rate: int, /) -> float: ...


Metric = PairMetric | SetMetric
Stretches = Sequence[tuple[int, int]]
"""Parts of a recording, ``(start, stop)`` in samples."""


def load_metric(text: str, access: Access = SAFE) -> Metric:
    """Load a metric by its name, with parameters if it has any: ``"lsd"``, ``"fad embedding=vae"``.

    Args:
        text: Name and parameters, as on the command line.
        access: Permissions for loading the models that it measures with.

    Returns:
        A metric of pairs or of sets.

    Raises:
        InputError: There is no such metric or parameter, or a value is not one.
    """
    return bind(load_component("metric", text), access=access)  # type: ignore[no-any-return]


def streamed(metric: Callable[[Signal, Signal, int], float]) -> Callable[[np.ndarray, np.ndarray, int], float]:
    """Make a metric of a function that reads what it measures block by block.

    Args:
        metric: A function of two signals, the truth and the estimate, and their rate in Hz.

    Returns:
        The same of arrays, (channels, time); the function of signals is its attribute ``of_signals``.
    """

    @functools.wraps(metric)
    def of_arrays(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
        return metric(Samples(reference), Samples(estimate), sample_rate)

    of_arrays.of_signals = metric  # type: ignore[attr-defined]
    return of_arrays


def measure_signals(
    metric: PairMetric, reference: Signal, estimate: Signal, sample_rate: int, damage: Stretches | None = None
) -> float:
    """Measure recordings that are read where that is needed, by a metric that needs no prompt.

    Args:
        metric: What to measure; unless it is ``streamed``, it sees all of a recording at once.
        reference: The truth.
        estimate: The same, of equal shape.
        sample_rate: In Hz.
        damage: Measure these stretches alone, as ``measure_damage`` does.

    Returns:
        The value.
    """
    if damage is None:
        if isinstance(metric, HasSignals):
            return metric.of_signals(reference, estimate, sample_rate)
        return metric(whole(reference), whole(estimate), sample_rate)
    if takes_damage(metric):
        return measure_damage(metric, whole(reference), whole(estimate), sample_rate, damage)
    return _mean(damage, lambda a, count: metric(reference.read(a, count), estimate.read(a, count), sample_rate))


def is_set(metric: Metric) -> TypeIs[SetMetric]:
    """Whether it compares sets rather than pairs."""
    return isinstance(metric, SetMetric)


def described(metric: Metric) -> dict[str, Any]:
    """What a metric says its values depend on; nothing where it depends on no model."""
    return metric.describe() if isinstance(metric, HasDescribe) else {}


def takes_prompt(metric: Metric) -> bool:
    """Whether it has to be told what the estimate should sound like."""
    return _takes(metric, "prompt")


def takes_damage(metric: Metric) -> bool:
    """Whether it wants to be told which stretches were lost."""
    return _takes(metric, "damage")


def _takes(metric: Metric, keyword: str) -> bool:
    return isinstance(metric, PairMetric) and keyword in inspect.signature(metric).parameters


def measure(
    metric: PairMetric,
    reference: np.ndarray,
    estimate: np.ndarray,
    sample_rate: int,
    prompt: str | None = None,
    damage: Stretches | None = None,
) -> float | None:
    """Measure a pair.

    Args:
        metric: What to measure.
        reference: (channels, time), full scale 1.
        estimate: The same, of equal shape.
        sample_rate: In Hz.
        prompt: What the estimate should sound like, for a metric that takes it.
        damage: The stretches that were lost, in samples, for a metric that takes them; others measure the whole.

    Returns:
        The value; None for a metric that needs a prompt where there is none.
    """
    if takes_prompt(metric) and not prompt:
        return None
    told = {"prompt": prompt, "damage": damage}
    keywords = {name: value for name, value in told.items() if _takes(metric, name)}
    return metric(reference, estimate, sample_rate, **keywords)


def measure_damage(
    metric: PairMetric, reference: np.ndarray, estimate: np.ndarray, sample_rate: int, damage: Stretches
) -> float:
    """Measure the stretches that were lost, by a metric that needs no prompt.

    One that takes ``damage`` is told them. Of others it is the mean over the stretches, cut out, weighted by length; a
    stretch shorter than a metric's frame is padded with silence, which flatters both.
    """
    if takes_damage(metric):
        return metric(reference, estimate, sample_rate, damage=damage)  # type: ignore[call-arg]
    return _mean(damage, lambda a, count: metric(reference[:, a : a + count], estimate[:, a : a + count], sample_rate))


def _mean(damage: Stretches, of: Callable[[int, int], float]) -> float:
    """The mean of what is found for stretches, by their first sample and length, weighted by length."""
    lengths = [stop - start for start, stop in damage]
    parts = [of(start, length) for (start, _), length in zip(damage, lengths, strict=True)]
    return float(np.average(parts, weights=lengths))
