"""Tables of what has been measured: one a problem, one line a row and prior, means over clips and seeds.

Wall times are not in them, so that a run that was cut off and resumed leaves the same table, byte for byte, as one that
was not. They are in the records, in ``times.md`` and on the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffmusic.bench.named import Named
from diffmusic.bench.plan import REFERENCES, TRUTH
from diffmusic.bench.scoring import metric
from diffmusic.errors import InputError
from diffmusic.metrics.contract import is_set

COSTS = ("network_forward", "network_backward", "decoder_forward", "decoder_backward")
TITLES = {"part": "lsd of the part"}


@dataclass(frozen=True)
class Value:
    """A mean, its standard error (0 for a single value or a distance of sets), and over how many values."""

    mean: float
    error: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + (f" ±{self.error:.3f}" if self.error else "")


@dataclass(frozen=True)
class Line:
    """A line of a table. values: by column; published: others' numbers by column; failures: (clip, seed, reason)."""

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
        """The row, with its prior, and of how many cells it speaks."""
        count = f"{self.done}" if self.done == self.planned else f"{self.done} of {self.planned}"
        return f"{self.row} ({count})"


@dataclass(frozen=True)
class Table:
    """The lines of a problem; columns: of the values, in order; raw: those of the raw estimates."""

    problem: str
    lines: Sequence[Line]
    columns: Sequence[str]
    raw: Sequence[str] = ()
    published: Sequence[str] = ()
    several: bool = False


def tables(plan: Mapping[str, Any], records: Mapping[str, dict[str, Any]]) -> list[Table]:
    """One table a problem, from a plan and the records there are.

    While cells are missing, rows speak of the clips that every row of their prior has: all of the same music.
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
        # What rows are measured against stands above them.
        lines.sort(key=lambda line: REFERENCES.index(line.row) if line.row in REFERENCES else len(REFERENCES))
        names = [each["name"] for each in plan["metrics"]] + ["part", "misfit"]
        finished = [name for name in names if any(name in line.values for line in lines)]
        raw = [f"{name} raw" for name in names if any(f"{name} raw" in line.values for line in lines)]
        others = list(dict.fromkeys(name for line in lines for name in line.published))
        several = len({line.backbone for line in lines} - {None}) > 1
        made.append(Table(problem, lines, finished, raw, others, several))
    return made


def _shared(
    cells: Sequence[Mapping[str, Any]], backbone: str | None, records: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The records of a problem's clips that are done in every row of a prior, and in those without one; all records
    where there is no such clip yet."""
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
    """What was published of the same problem and solver, by "metric, model"."""
    found: dict[str, float] = {}
    for number in others["rows"] if others and cell["solver"] else ():
        if (number["operator"], number["solver"]) == (cell["operator"], cell["solver"]):
            found |= {f"{name}, {number['model']}": value for name, value in number["values"].items()}
    return found


def markdown(plan: Mapping[str, Any], made: Sequence[Table]) -> str:
    """All tables as Markdown, with what they were measured on and with."""
    text = [f"# {plan['title']}", "", *([plan["about"].strip(), ""] if plan["about"] else []), *described(plan), ""]
    for table in made:
        text += [f"## {table.problem}", ""]
        raw = [name for name in table.raw if name in (f"{plan['metrics'][0]['name']} raw", "part raw")]
        columns = [*raw, *table.columns]
        head = ["row", *(["prior"] if table.several else []), *map(heading, columns), "network f/b", "decoder f/b"]
        head += [f"{name} (published)" for name in table.published]
        text += [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        for line in table.lines:
            cells = [line.title, *([line.backbone or "–"] if table.several else [])]
            cells += [str(line.values.get(name, "")) for name in columns]
            cells += [f"{line.costs[f'{part}_forward']:.0f} / {line.costs[f'{part}_backward']:.0f}"
                      for part in ("network", "decoder")]  # fmt: skip
            cells += [f"{line.published[name]:.4f}" if name in line.published else "" for name in table.published]
            text.append(f"| {' | '.join(cells)} |")
        failures = [(line, failure) for line in table.lines for failure in line.failures]
        if failures:
            text += ["", "Failed:", ""]
            text += [f"- {line.row}, {clip}, seed {seed}: {why}" for line, (clip, seed, why) in failures]
        text.append("")
    if plan["published"]:
        others = plan["published"]
        text += [f"Published: {others['source']}. {others['conditions']}".strip(), ""]
    return "\n".join(text)


def heading(column: str) -> str:
    """A column's name as a reader has it."""
    name, raw = column.removesuffix(" raw"), " raw" if column.endswith(" raw") else ""
    return TITLES.get(name, name) + raw


def described(plan: Mapping[str, Any]) -> list[str]:
    """What the numbers were measured on and with, one fact a line of a list."""
    clips = plan["clips"]
    length = f" of {clips['seconds']:g} s" if clips["seconds"] else ""
    rate = f" at {clips['rate']} Hz" if clips["rate"] else ""
    facts = [f"- {clips['count']} clips{length}{rate} of {plan['dataset']}, chosen by seed {clips['seed']}"]
    facts += [f"- prior {each['name']}, weights {each['sha256'][:12]}" for each in plan["models"]]
    for each in plan["metrics"]:
        more = [
            f"{key} {value[:12] if key == 'sha256' else value}"
            for key, value in each.items()
            if key not in ("name", "embeddings")
        ]
        facts += [f"- {each['name']}: {', '.join(more)}"] if more else []
    return facts


def times(plan: Mapping[str, Any], made: Sequence[Table], records: Mapping[str, dict[str, Any]]) -> str:
    """Mean wall times, and the machines they were taken on, as Markdown."""
    text = [f"# {plan['title']}: seconds a clip", "", "| problem | row | prior | seconds |", "|---|---|---|---|"]
    for table in made:
        for line in table.lines:
            if line.seconds is not None:
                text.append(f"| {table.problem} | {line.title} | {line.backbone or '–'} | {line.seconds:.1f} |")
    facts = [
        (found["device"], found["threads"], tuple(found["versions"].items()))
        for found in records.values()
        if "device" in found
    ]
    for device, threads, versions in dict.fromkeys(facts):
        shown = ", ".join(f"{name} {version}" for name, version in versions)
        text += ["", f"{facts.count((device, threads, versions))} cells on {device} with {threads} threads; {shown}."]
    return "\n".join(text) + "\n"
