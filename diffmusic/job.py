"""One recording through one run: read, damage if asked, restore, measure, and what to write."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffmusic import models, record
from diffmusic import problem as problems
from diffmusic.audio import files
from diffmusic.errors import InputError
from diffmusic.parameters import bind, build, values
from diffmusic.plugins import registry
from diffmusic.prior import Backbone
from diffmusic.restore import Progress, restore, validate
from diffmusic.solver import DirectSolver


@dataclass(frozen=True)
class Job:
    """What to do, in plain values: what a run record holds and ``--config`` reads."""

    operator: str
    operator_parameters: Mapping[str, Any] = field(default_factory=dict)
    solver: str = "diffmusic"
    solver_parameters: Mapping[str, Any] = field(default_factory=dict)
    model: str = "mini"
    prompt: str | None = None
    steps: int = 25
    seed: int = 0
    samples: int = 1
    finish: bool = True
    simulate: bool = False
    device: str = "auto"

    @classmethod
    def from_record(cls, recorded: Mapping[str, Any]) -> Job:
        """The job of a run record. Raises InputError for one of another kind."""
        given = recorded["job"]
        names = {each.name for each in dataclasses.fields(cls)}
        if not isinstance(given, dict) or "operator" not in given or not set(given) <= names:
            raise InputError("the run record's job is not one this version understands")
        return cls(**given)

    def prepare(self) -> Prepared:
        """Load and check the components. Raises InputError for names and parameters that do not exist."""
        if self.steps < 1 or self.samples < 1 or self.seed < 0:
            raise InputError("--steps and --samples must be at least 1, --seed at least 0")
        operator = build(
            registry().load("operator", self.operator), self.operator_parameters, f"operator {self.operator!r}"
        )
        solver = build(registry().load("solver", self.solver), self.solver_parameters, f"solver {self.solver!r}")
        return Prepared(self, operator, solver)


@dataclass(frozen=True)
class Prepared:
    """A job with its components, for one recording after another; the backbone loads when it is first needed."""

    job: Job
    operator: Any
    solver: Any

    @cached_property
    def backbone(self) -> Backbone | None:
        if isinstance(self.solver, DirectSolver):
            return None
        return models.load(self.job.model, models.device(self.job.device))

    def run(self, path: Path, reference: Path | None = None, progress: Progress | None = None) -> Outcome:
        """Restore one file. Raises InputError for input that does not fit, Diverged for a run that blew up."""
        given = files.read(path)
        clean = given if self.job.simulate else self._reference(reference, given)
        damaged = given.samples
        operator = bind(self.operator, sample_rate=given.sample_rate, offset=0.0)
        validate(operator, given.samples.shape[-1], given.sample_rate)
        if self.job.simulate:
            damaged = operator.forward(torch.from_numpy(given.samples)[None])[0].numpy()
        torch.manual_seed(self.job.seed)  # for third-party code that draws outside the generators it is given
        result = restore(
            damaged,
            given.sample_rate,
            self.operator,
            self.solver,
            self.backbone,
            steps=self.job.steps,
            seed=self.job.seed,
            samples=self.job.samples,
            prompt=self.job.prompt,
            finish=self.job.finish,
            progress=progress,
        )
        lost = problems.damage(operator, given.samples.shape[-1])
        scores = [] if clean is None else [measure(clean, estimate, damaged, lost) for estimate in result.audio]
        document = {
            "command": "solve",
            "versions": record.versions(),
            "job": self.describe(),
            "input": {
                "path": str(path),
                "sha256": record.file_hash(path),
                "sample_rate": given.sample_rate,
                "channels": given.samples.shape[0],
                "seconds": given.seconds,
                "format": given.format,
                "subtype": given.subtype,
            },
            "model": self.backbone.describe() if self.backbone else None,
            "windows": result.windows,
            "costs": {**result.costs.as_dict(), "seconds": round(result.seconds, 3)},
            "peak_memory_bytes": record.peak_memory(),
            "threads": torch.get_num_threads(),
            "metrics": scores,
        }
        if reference:
            document["reference"] = {"path": str(reference), "sha256": record.file_hash(reference)}
        return Outcome(given, damaged, clean, result.audio, lost, document)

    def describe(self) -> dict[str, Any]:
        """The job with every default written out."""
        return dataclasses.asdict(self.job) | {
            "operator_parameters": values(self.operator),
            "solver_parameters": values(self.solver),
        }

    def _reference(self, reference: Path | None, given: files.Recording) -> files.Recording | None:
        if reference is None:
            return None
        clean = files.read(reference)
        if (clean.sample_rate, clean.samples.shape) != (given.sample_rate, given.samples.shape):
            raise InputError(
                f"reference {reference} has {clean.samples.shape[0]} channels, {clean.samples.shape[1]} samples at "
                f"{clean.sample_rate} Hz; the input has {given.samples.shape[0]}, {given.samples.shape[1]} at "
                f"{given.sample_rate} Hz"
            )
        return clean


@dataclass(frozen=True)
class Outcome:
    """What a run made.

    given: the input file; damaged: what was restored, (channels, time); clean: the truth where it is known;
    audio: (samples, channels, time); lost: damaged intervals in samples; document: the run record.
    """

    given: files.Recording
    damaged: np.ndarray
    clean: files.Recording | None
    audio: np.ndarray
    lost: list[tuple[int, int]]
    document: dict[str, Any]


def measure(
    clean: files.Recording, estimate: np.ndarray, damaged: np.ndarray, lost: list[tuple[int, int]]
) -> dict[str, dict[str, float]]:
    """Every installed metric against the truth: of the estimate and of the damaged input, over the whole recording
    and over the damaged stretches alone (their mean, weighted by length). A stretch shorter than a metric's frame is
    padded with silence, which flatters both."""
    scores: dict[str, dict[str, float]] = {}
    for name, spec in registry().components("metric").items():
        metric = spec.load()

        def over(x: np.ndarray, stretches: list[tuple[int, int]], metric: Any = metric) -> float:
            weights = [stop - start for start, stop in stretches]
            parts = [metric(clean.samples[:, a:b], x[:, a:b], clean.sample_rate) for a, b in stretches]
            return float(np.average(parts, weights=weights))

        whole = [(0, clean.samples.shape[-1])]
        scores[name] = {"restored": over(estimate, whole), "damaged": over(damaged, whole)}
        if lost and lost != whole:
            scores[name] |= {"restored_in_damage": over(estimate, lost), "damaged_in_damage": over(damaged, lost)}
    return scores
