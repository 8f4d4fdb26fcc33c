"""Contract checks for datasets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from diffmusic.datasets.contract import Clip, Dataset
from diffmusic.errors import InputError
from diffmusic.testing.checks import Check, frozen, lacking

LOOKED_AT = 3
"""Number of recordings that are opened: a dataset may be large."""
LEFT_OVER = 0.3
"""Limit of the norm of the audio less its sources, relative to the norm of the audio.

In published stem files it is up to 0.17.
"""


def dataset_checks(dataset: Any) -> list[Check]:
    """Return the checks of a dataset as ``diffmusic.datasets.contract`` describes it."""
    return [_dataset_contract, _names, _clips, _excerpts, _sources, _refusals]


def _some(dataset: Dataset) -> list[str]:
    names = list(dataset.names())
    return [names[index] for index in sorted({0, len(names) // 2, len(names) - 1})][:LOOKED_AT]


def _dataset_contract(dataset: Any) -> str:
    frozen(dataset)
    missing = lacking(dataset, ("names", "duration", "load"))
    assert not missing, f"it has no method {' and '.join(missing)}"
    return "frozen dataclass with names, duration and load"


def _names(dataset: Dataset) -> str:
    names = list(dataset.names())
    assert names, "it holds no recording"
    assert all(isinstance(name, str) and name for name in names), "a name is not text"
    assert len(set(names)) == len(names), "two recordings have one name"
    assert list(dataset.names()) == names, "two calls give different names, or another order"
    return f"{len(names)} recordings"


def _clip(dataset: Dataset, name: str, **part: float) -> Clip:
    clip = dataset.load(name, **part)
    assert isinstance(clip, Clip), f"load gives a {type(clip).__name__}, not a Clip"
    assert clip.name == name, f"the clip of {name!r} calls itself {clip.name!r}"
    for what, audio in (("audio", clip.audio), *clip.sources.items()):
        assert audio.dtype == np.float32, f"{name}: {what} is {audio.dtype}, not float32"
        assert audio.ndim == 2, f"{name}: {what} has the shape {audio.shape}, not (channels, time)"
        assert audio.shape == clip.audio.shape, f"{name}: {what} has the shape {audio.shape}, not {clip.audio.shape}"
        assert np.isfinite(audio).all(), f"{name}: {what} is not finite"
    return clip


def _clips(dataset: Dataset) -> str:
    for name in _some(dataset):
        clip = _clip(dataset, name)
        seconds = clip.audio.shape[-1] / clip.sample_rate
        told = dataset.duration(name)
        assert abs(told - seconds) < 0.1, f"{name} lasts {seconds:.3f} s, and duration says {told:.3f}"
        assert np.array_equal(_clip(dataset, name).audio, clip.audio), f"{name}: two calls give different audio"
        assert clip.start == 0, f"{name}: the whole of it begins at {clip.start}"
    return "float32, finite, as long as they say, repeatable"


def _excerpts(dataset: Dataset) -> str:
    for name in _some(dataset):
        whole = _clip(dataset, name)
        rate, seconds = whole.sample_rate, whole.audio.shape[-1] / whole.sample_rate
        start, length = (round(seconds * part * rate) / rate for part in (0.4, 0.3))
        part = _clip(dataset, name, start=start, seconds=length)
        first = round(start * rate)
        for what, (whole_audio, audio) in {
            "audio": (whole.audio, part.audio),
            **{key: (whole.sources[key], part.sources[key]) for key in whole.sources},
        }.items():
            expected = whole_audio[:, first : first + round(length * rate)]
            assert audio.shape == expected.shape, f"{name}: an excerpt of {expected.shape} has {audio.shape}"
            wrong = float(np.abs(audio - expected).max(initial=0))
            assert wrong < 1e-4, f"{name}: {what} of an excerpt differs from that of the whole by {wrong:.1e}"
        assert part.start == start, f"{name}: an excerpt from {start} s begins at {part.start}"
    return "the same samples as in the whole"


def _sources(dataset: Dataset) -> str:
    for name in _some(dataset):
        clip = _clip(dataset, name)
        if clip.sources:
            rest = np.linalg.norm(clip.audio - np.sum(list(clip.sources.values()), axis=0))
            part = float(rest / max(1e-9, float(np.linalg.norm(clip.audio))))
            assert part < LEFT_OVER, f"{name}: its sources do not add up to it, {part:.0%} is left over"
    return "they add up to the audio, where there are any"


def _refusals(dataset: Dataset) -> str:
    (name, *_) = _some(dataset)
    seconds = dataset.duration(name)
    requests: tuple[tuple[str, Callable[[], Clip]], ...] = (
        ("an unknown name", lambda: dataset.load("no such recording")),
        ("an excerpt beyond the end", lambda: dataset.load(name, start=seconds, seconds=1.0)),
        ("a negative start", lambda: dataset.load(name, start=-1.0, seconds=0.1)),
    )
    for what, call in requests:
        try:
            call()
        except InputError:
            continue
        raise AssertionError(f"{what} is not refused by an InputError")
    return "unknown names and excerpts beyond the end"
