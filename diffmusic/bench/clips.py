"""Excerpts of a suite's dataset, and the material that a problem makes of them."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from diffmusic.audio.resample import resample
from diffmusic.bench.suite import Clips, Problem, Suite
from diffmusic.datasets.contract import Clip, Dataset
from diffmusic.errors import InputError
from diffmusic.problem.operator import sources

DRAWS = 10
"""Excerpts drawn from a recording, at most, to find an audible one."""


@dataclass(frozen=True)
class Material:
    """Input of one cell.

    Attributes:
        name: Name of the clip, unique in its suite.
        clean: (channels, time), float64, full scale 1; for a mixture, the channels of source after source.
        sample_rate: Hz.
        prompt: Text that describes it.
        target: Text that an edit is to make of it.
    """

    name: str
    clean: np.ndarray
    sample_rate: int
    prompt: str | None = None
    target: str | None = None

    def identity(self) -> dict[str, Any]:
        """Return everything about it that determines a result."""
        samples = np.ascontiguousarray(self.clean)
        return {
            "name": self.name,
            "shape": list(samples.shape),
            "sample_rate": self.sample_rate,
            "sha256": hashlib.sha256(samples.tobytes()).hexdigest(),
            "prompt": self.prompt,
            "target": self.target,
        }


@dataclass(frozen=True, eq=False)
class Library:
    """Excerpts of a suite, a few of them in memory at a time."""

    dataset: Dataset
    options: Clips
    mixtures: Mapping[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)

    @classmethod
    def of(cls, suite: Suite) -> Library:
        mixtures = {}
        for problem in suite.problems:
            count = sources(problem.operator.component("operator")) if problem.operator else 1
            mixtures[problem.name] = (count, tuple(problem.sources))
        return cls(suite.dataset.component("dataset"), suite.clips, mixtures)

    @cached_property
    def excerpts(self) -> list[tuple[str, float]]:
        """Choose recordings, and the second at which each excerpt begins. Raises InputError if there are too few."""
        names = self.options.names or list(self.dataset.names())
        for name in set(names) - set(self.dataset.names()):
            raise InputError(f"clips.names: the dataset has no recording {name!r}")
        count = self.options.count
        if count <= len(names):
            order = [names[index] for index in np.linspace(0, len(names) - 1, count).round().astype(int)]
        else:
            order = [names[number % len(names)] for number in range(count)]
        spare = iter([name for name in names if name not in order])
        several, used = Counter(order), Counter[str]()
        found = []
        for name in order:
            start = self._audible(name, used[name], several[name])
            used[name] += 1
            while start is None:
                name = next(spare, "")
                if not name:
                    raise InputError(f"the dataset has fewer than {count} excerpts that are long and loud enough")
                start = self._audible(name, 0, 1)
            found.append((name, start))
        return found

    def _audible(self, name: str, part: int, parts: int) -> float | None:
        """Find an audible excerpt in one of ``parts`` equal parts of a recording; return its start, or None."""
        for start in self._starts(name, part, parts):
            clip = self._read(name, start)
            heard = [clip.audio, *(part for mixture in self.mixtures.values() for part in _stems(clip, *mixture))]
            if min(float(np.sqrt(np.mean(np.square(each)))) for each in heard) >= self.options.audible:
                return start
        return None

    def _starts(self, name: str, part: int, parts: int) -> Iterator[float]:
        seconds = self.options.seconds
        spare = 0.0 if seconds is None else self.dataset.duration(name) - seconds
        if spare < -1e-3:
            return
        if spare <= 1e-3:
            yield 0.0
            return
        draws = np.random.default_rng([self.options.seed, zlib.crc32(name.encode()), part])
        for _ in range(DRAWS):
            yield round(spare * (part + float(draws.random())) / parts, 3)

    def _read(self, name: str, start: float) -> Clip:
        """Read an excerpt, with the sample rate and channels of the suite."""
        clip = self.dataset.load(name, start=start, seconds=self.options.seconds)
        rate = self.options.rate or clip.sample_rate
        length = round((self.options.seconds or clip.audio.shape[-1] / clip.sample_rate) * rate)

        def brought(audio: np.ndarray) -> np.ndarray:
            audio = audio.mean(0, keepdims=True) if self.options.mono else audio
            return resample(audio, clip.sample_rate, rate, length)

        sources = {source: brought(audio) for source, audio in clip.sources.items()}
        return dataclasses.replace(clip, audio=brought(clip.audio), sample_rate=rate, sources=sources)

    @lru_cache(maxsize=4)  # noqa: B019 - there is one library a run
    def clip(self, number: int) -> Clip:
        """Read an excerpt by its number."""
        return self._read(*self.excerpts[number])

    def name(self, number: int) -> str:
        """Name an excerpt: ``recording@seconds``."""
        name, start = self.excerpts[number]
        return f"{name}@{start:g}"

    def material(self, number: int, problem: Problem) -> Material:
        """Make the input of a problem from an excerpt. A mixture without stems sums it with the excerpts after it."""
        clip = self.clip(number)
        count, chosen = self.mixtures[problem.name]
        if count > 1 and not clip.sources:
            parts = [self.clip((number + step) % len(self.excerpts)).audio for step in range(count)]
        else:
            parts = _stems(clip, count, chosen)
        clean = np.concatenate(parts).astype(np.float64)
        return Material(self.name(number), clean, clip.sample_rate, clip.prompt, clip.target)


def _stems(clip: Clip, count: int, chosen: tuple[str, ...]) -> list[np.ndarray]:
    """Return the ``count`` sources of a mixture; the last one is the sum of all stems that are not named.

    The others are those in ``chosen``, or else the lead, the vocals, or the first stems. A clip without stems, or of a
    single source, is returned as it is.
    """
    if count == 1 or not clip.sources:
        return [clip.audio]
    usual = [name for name in ("lead", "vocals") if name in clip.sources]
    leading = chosen or tuple(dict.fromkeys([*usual, *clip.sources]))[: count - 1]
    for name in leading:
        if name not in clip.sources:
            raise InputError(f"{clip.name} has no source {name!r}, but {', '.join(clip.sources)}")
    if len(leading) != count - 1:
        raise InputError(f"sources: name {count - 1} of the {count} sources; the last is all the others")
    stems = [clip.sources[name] for name in leading]
    return [*stems, clip.audio - sum(stems)]
