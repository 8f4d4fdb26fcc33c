"""Cells of a suite, in order, and the facts that identify each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from diffmusic.bench import published, scoring
from diffmusic.bench.cell import Kind, Task
from diffmusic.bench.clips import Library
from diffmusic.bench.named import Named
from diffmusic.bench.suite import Problem, Suite
from diffmusic.parameters import values
from diffmusic.problem.operator import is_spectrogram
from diffmusic.solver.contract import DirectSolver

TRUTH: Literal["truth"] = "truth"
MEASUREMENT: Literal["measurement"] = "measurement"
ROUND_TRIP: Literal["round trip"] = "round trip"
REFERENCES = (TRUTH, MEASUREMENT, ROUND_TRIP)
"""Rows that no solver makes."""


@dataclass(frozen=True)
class Place:
    """Position of a cell in the tables. clip: its number; backbone: None if no prior is used."""

    problem: str
    row: str
    clip: int
    backbone: str | None
    seed: int


@dataclass(frozen=True)
class Cell:
    """Position, task, and the key under which the record is kept."""

    place: Place
    task: Task
    key: str = ""


@dataclass(frozen=True)
class Model:
    """Prior of a suite: how it is loaded, and what of it determines a result."""

    name: str
    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False
    hash: str = ""


def cells(suite: Suite, models: Sequence[Model], count: int) -> Iterator[Cell]:
    """Yield every cell, without its key.

    One clip after another goes through everything, so that a partial table is fair. Clips come in an order of which
    every beginning is spread over all of them. Cells without a prior are run once, whatever the backbones and seeds.
    """
    metrics = tuple(suite.metrics)
    for model in models:
        for clip in spread(count):
            for seed in suite.seeds:
                once = seed == suite.seeds[0]
                first = once and model == models[0]
                for problem in suite.problems:
                    keep = once and clip < suite.keep
                    common = Task(
                        "truth", metrics, problem.operator, snr=problem.snr, seed=seed, offline=model.offline, keep=keep
                    )
                    prior = replace(common, model=model.name, device=model.device, dtype=model.dtype)
                    if first:
                        yield Cell(Place(problem.name, TRUTH, clip, None, seed), common)
                    if first and problem.operator and not is_spectrogram(problem.operator.component("operator")):
                        place = Place(problem.name, MEASUREMENT, clip, None, seed)
                        yield Cell(place, replace(common, kind=MEASUREMENT, keep=False))
                    if once:
                        yield Cell(
                            Place(problem.name, ROUND_TRIP, clip, model.name, seed), replace(prior, kind=ROUND_TRIP)
                        )
                    for row in suite.rows(problem):
                        direct = isinstance(row.solver.component("solver"), DirectSolver)
                        if direct and not first:
                            continue
                        kind: Kind = "edit" if problem.edit else "solve"
                        task = replace(common if direct else prior, kind=kind, solver=row.solver, settings=row.settings)
                        place = Place(problem.name, row.label, clip, None if direct else model.name, seed)
                        yield Cell(place, task)


def spread(count: int) -> list[int]:
    """Order the numbers below ``count`` by their reversed binary digits: 0, the middle, the quarters, the eighths."""
    width = max(1, (count - 1).bit_length())
    return sorted(range(count), key=lambda number: int(f"{number * 2**width // count:0{width}b}"[::-1], 2))


def keyed(cell: Cell, suite: Suite, library: Library, models: Sequence[Model]) -> Cell:
    """Return the cell with its key: a hash of everything that determines its result.

    That is the samples, operator and solver with every parameter (defaults included), the settings, the weights of the
    prior, the seed, and the metrics with the weights that they measure with. Package versions are in the record but not
    in the key: results survive a new release; a new folder starts afresh.
    """
    problem = next(each for each in suite.problems if each.name == cell.place.problem)
    return replace(cell, key=digest(identity(cell, problem, library, models)))


def identity(cell_: Cell, problem: Problem, library: Library, models: Sequence[Model]) -> dict[str, Any]:
    """Collect the facts that are hashed into the key."""
    task = cell_.task
    model = next((each for each in models if each.name == task.model), None)
    editing = task.kind == "edit"
    # Without a prompt there is no guidance, whatever its default.
    guidance = task.settings.weight(editing) if editing or task.settings.prompted else None
    single = {"samples"} if task.settings.samples == 1 else None  # records are older than this setting
    return {
        "kind": task.kind,
        "clip": library.material(cell_.place.clip, problem).identity(),
        "operator": _written(task.operator, "operator"),
        "snr": task.snr,
        "solver": _written(task.solver, "solver"),
        "settings": task.settings.model_dump(exclude=single) | {"guidance": guidance} if task.solver else None,
        "model": model and {"sha256": model.hash, "dtype": model.dtype},
        "seed": task.seed,
        "metrics": [scoring.describe(each, task.offline) for each in task.metrics],
    }


def _written(named: Named | None, kind: str) -> dict[str, Any] | None:
    if named is None:
        return None
    made = named.component(kind)
    return {"name": named.name, **values(made)}


def digest(facts: Any) -> str:
    """Return twenty hexadecimal digits of the SHA-256 of facts as JSON."""
    text = json.dumps(facts, sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def document(suite: Suite, cells: Sequence[Cell], library: Library, models: Sequence[Model]) -> dict[str, Any]:
    """Return everything that tables need except the records: the planned cells in order, the metrics and the models."""

    offline = any(each.offline for each in models)

    def entry(each: Cell) -> dict[str, Any]:
        names = {"operator": each.task.operator, "solver": each.task.solver}
        return {
            "key": each.key,
            **asdict(each.place),
            "clip": library.name(each.place.clip),
            **{kind: named.name if named else None for kind, named in names.items()},
        }

    return {
        "title": suite.title,
        "about": suite.about,
        "dataset": str(Named(suite.dataset.name, {k: v for k, v in suite.dataset.parameters.items() if k != "path"})),
        "clips": suite.clips.model_dump(),
        "metrics": [
            {**scoring.describe(each, offline), "embeddings": scoring.embedding_key(each, offline)}
            for each in suite.metrics
        ],
        "models": [{"name": each.name, "dtype": each.dtype, "sha256": each.hash} for each in models],
        "published": published.read(suite.published) if suite.published else None,
        "cells": [entry(each) for each in cells],
    }
