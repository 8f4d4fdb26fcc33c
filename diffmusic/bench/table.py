"""Result tables: one for each problem, one line for each row and prior, with means over clips and seeds.

An interrupted and resumed run gives the same tables, byte for byte, but for the wall times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffmusic.bench.named import Named
from diffmusic.bench.plan import REFERENCES, TRUTH
from diffmusic.bench.samples import OUTSIDE, RATIO, SUFFIXES
from diffmusic.bench.scoring import metric
from diffmusic.errors import InputError
from diffmusic.metrics.contract import is_set

COSTS = ("network_forward", "network_backward", "decoder_forward", "decoder_backward")


@dataclass(frozen=True)
class Value:
    """Mean, its standard error (0 for a single value or a distance of sets), and the number of values."""

    mean: float
    error: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + (f" ±{self.error:.3f}" if self.error else "")


@dataclass(frozen=True)
class Line:
    """Line of a table.

    Attributes:
        done: Number of cells with a result.
        planned: Number of cells.
        values: Values by column.
        costs: Mean number of passes of each kind.
        seconds: Mean wall time of a cell.
        published: Others' numbers by column.
        failures: ``(clip, seed, reason)``.
        keys: Keys of the cells' records.
    """

    row: str
    solver: str | None
    backbone: str | None
    done: int
    planned: int
    values: Mapping[str, Value]
    costs: Mapping[str, float]
    seconds: float | None
    published: Mapping[str, float]
    failures: Sequence[tuple[str, int, str]]
    keys: Sequence[str]

    @property
    def title(self) -> str:
        """The row and the number of its cells, such as ``dps (3 of 8)``."""
        count = f"{self.done}" if self.done == self.planned else f"{self.done} of {self.planned}"
        return f"{self.row} ({count})"


@dataclass(frozen=True)
class Table:
    """Table of one problem.

    Attributes:
        columns: Names of the values, in order.
        raw: Names of the values of raw estimates.
        published: Names of the published values.
        several: Whether lines have different priors.
    """

    problem: str
    lines: Sequence[Line]
    columns: Sequence[str]
    raw: Sequence[str] = ()
    published: Sequence[str] = ()
    several: bool = False


def tables(plan: Mapping[str, Any], records: Mapping[str, dict[str, Any]]) -> list[Table]:
    """Make one table for each problem, from a plan and the records so far.

    While cells are missing, only clips that are done in every row of a prior count: rows compare the same music.
    """
    made = []
    for problem in dict.fromkeys(each["problem"] for each in plan["cells"]):
        cells = [each for each in plan["cells"] if each["problem"] == problem]
        truth = {
            each["clip"]: records[each["key"]]["finished"]
            for each in cells
            if each["row"] == TRUTH and "finished" in records.get(each["key"], {})
        }
        groups = dict.fromkeys((each["row"], each["backbone"]) for each in cells)
        first = next((backbone for _, backbone in groups if backbone), None)
        lines = []
        for row, backbone in groups:
            if row == TRUTH and cells[0]["operator"] is not None:
                continue
            group = [each for each in cells if (each["row"], each["backbone"]) == (row, backbone)]
            lines.append(_line(plan, group, _shared(cells, backbone or first, records), truth))
        # References come first.
        lines.sort(key=lambda line: REFERENCES.index(line.row) if line.row in REFERENCES else len(REFERENCES))
        names = [f"{each['name']}{more}" for each in plan["metrics"] for more in ("", *SUFFIXES)]
        names += [f"part{more}" for more in ("", *SUFFIXES)] + ["misfit", RATIO, OUTSIDE]
        finished = [name for name in names if any(name in line.values for line in lines)]
        raw = [f"{name} raw" for name in names if any(f"{name} raw" in line.values for line in lines)]
        others = list(dict.fromkeys(name for line in lines for name in line.published))
        several = len({line.backbone for line in lines} - {None}) > 1
        made.append(Table(problem, lines, finished, raw, others, several))
    return made


def _shared(
    cells: Sequence[Mapping[str, Any]], backbone: str | None, records: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Keep the records of clips that are done in every row of a prior and in every row without one.

    All records where there is no such clip yet.
    """
    rivals = [each for each in cells if each["backbone"] in (None, backbone)]
    missing = {each["clip"] for each in rivals if each["key"] not in records}
    kept = {each["key"]: records[each["key"]] for each in rivals if each["clip"] not in missing}
    return kept or dict(records)


def _line(
    plan: Mapping[str, Any],
    group: Sequence[Mapping[str, Any]],
    records: Mapping[str, dict[str, Any]],
    truth: Mapping[str, dict[str, Any]],
) -> Line:
    first = group[0]
    there = [(each, records[each["key"]]) for each in group if each["key"] in records]
    failures = [(each["clip"], each["seed"], found["error"]) for each, found in there if found["error"]]
    good = [(each, found) for each, found in there if not found["error"]]
    values: dict[str, Value] = {}
    for version, suffix in (("finished", ""), ("raw", " raw")):
        measured = [(each, found[version]) for each, found in good if version in found]
        for name in dict.fromkeys(name for _, found in measured for name in found["scores"]):
            numbers = [found["scores"][name] for _, found in measured if found["scores"].get(name) is not None]
            if numbers:
                error = float(np.std(numbers, ddof=1) / np.sqrt(len(numbers))) if len(numbers) > 1 else 0.0
                values[f"{name}{suffix}"] = Value(float(np.mean(numbers)), error, len(numbers))
        for described in plan["metrics"] if first["row"] != TRUTH else ():
            name, place = described["name"], described["embeddings"]
            pairs = [
                (each["clip"], found["embeddings"][place])
                for each, found in measured
                if place in found["embeddings"] and each["clip"] in truth
            ]
            made = metric(Named.parse(name))
            if pairs and is_set(made):
                ours = np.concatenate([np.array(windows) for _, windows in pairs])
                clips = dict.fromkeys(clip for clip, _ in pairs)
                theirs = np.concatenate([np.array(truth[clip]["embeddings"][place]) for clip in clips])
                try:
                    distance = made.distance(theirs, ours)
                except InputError:  # too few to say anything
                    continue
                values[f"{name}{suffix}"] = Value(float(distance), 0.0, len(pairs))
    costs = {
        name: float(np.mean([found["costs"][name] for _, found in good if "costs" in found] or [0])) for name in COSTS
    }
    seconds = [found["seconds"] for _, found in good]
    return Line(
        first["row"],
        first["solver"],
        first["backbone"],
        len(good),
        len(group),
        values,
        costs,
        float(np.mean(seconds)) if seconds else None,
        _published(plan["published"], first),
        failures,
        [each["key"] for each in group],
    )


def _published(others: Mapping[str, Any] | None, cell: Mapping[str, Any]) -> dict[str, float]:
    """Return the published values of the same problem and solver, by "metric, model"."""
    found: dict[str, float] = {}
    for number in others["rows"] if others and cell["solver"] else ():
        if (number["operator"], number["solver"]) == (cell["operator"], cell["solver"]):
            found |= {f"{name}, {number['model']}": value for name, value in number["values"].items()}
    return found
