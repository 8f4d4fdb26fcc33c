"""Benchmark in one call: a solver, one's own or a named one, among others on the same clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import TypeAdapter, ValidationError

from diffmusic.bench import plan, runner, table, text
from diffmusic.bench.keys import complaint
from diffmusic.bench.local import Local
from diffmusic.bench.named import Given, Named
from diffmusic.bench.plan import Model
from diffmusic.bench.suite import Suite
from diffmusic.bench.table import Line, Table
from diffmusic.errors import InputError
from diffmusic.plugins import registry

Tell = Callable[[int, int], object]
"""Callback with the number of cells that are done, and of all."""


@dataclass(frozen=True)
class Benchmark:
    """Scores of solvers on the same clips.

    Attributes:
        tables: one for each problem, with a line for each solver and each reference.
        plan: what was run: dataset, clips, metrics, weights.
    """

    tables: Sequence[Table]
    plan: Mapping[str, Any]

    def ranking(self, problem: str | None = None, metric: str | None = None) -> list[Line]:
        """Rank the solvers of a problem.

        Args:
            problem: by default the first.
            metric: by default the first.

        Returns:
            Their lines of the table, the best first.

        Raises:
            InputError: no such problem, or no solver has such a value.
        """
        names = [each.problem for each in self.tables]
        if problem is not None and problem not in names:
            raise InputError(f"no problem {problem!r} was run; {', '.join(names)} were")
        chosen = self.tables[names.index(problem) if problem else 0]
        name = metric or str(self.plan["metrics"][0]["name"])
        lines = [line for line in chosen.lines if line.row not in plan.REFERENCES and name in line.values]
        if not lines:
            raise InputError(f"no solver has a value of {name!r}")
        higher = bool(registry().find("metric", name.split()[0]).higher_is_better)
        return sorted(lines, key=lambda line: line.values[name].mean, reverse=higher)

    def __str__(self) -> str:
        return text.markdown(self.plan, self.tables)

    _repr_markdown_ = __str__


def benchmark(
    model: str = "mini",
    solver: Any = None,
    *,
    clips: str | Path,
    problems: Sequence[str] = ("inpainting gap=1:2",),
    against: Sequence[str] = ("mmps", "diffmusic", "dps"),
    count: int = 3,
    seconds: float = 3.0,
    steps: int = 25,
    metrics: Sequence[str] = ("mel_l1", "lsd", "si_sdr"),
    seeds: Sequence[int] = (0,),
    folder: str | Path | None = None,
    progress: Tell | None = None,
) -> Benchmark:
    """Rank a solver among others, on equal clips, with an equal number of levels.

    ``diffmusic bench`` does the same from a file, on more machines, and more: prompts, noise, sources, grids of
    parameters. Both keep the same records.

    Args:
        model: name, folder or id of a prior.
        solver: an instance, or text such as ``"dsg rate=0.1"``; None compares the others alone.
        clips: folder of recordings, or a dataset as text, such as ``"musdb18 path=..."``.
        problems: operators with their parameters.
        against: other solvers, as text.
        count: number of excerpts, spread evenly over the recordings.
        seconds: of an excerpt.
        steps: noise levels of every solver that has any.
        metrics: the first one ranks.
        seeds: of the noise; one run of each cell a seed.
        folder: where records are kept and looked for, and tables and a page are written. A solver is known there by its
            class and its parameters: where its code has changed, delete the folder. By default nothing is kept.
        progress: called after every cell.

    Returns:
        The tables, which print as Markdown, and the ranking.

    Raises:
        InputError: a component, dataset or parameter that there is not.
    """
    entries = [_entry(each, steps) for each in (*([] if solver is None else [solver]), *against)]
    dataset = {"name": "folder", "path": str(clips)} if Path(clips).is_dir() else str(clips)
    given = {
        "title": "Benchmark", "dataset": dataset, "problems": list(problems), "solvers": entries, "backbones": [model],
        "metrics": list(metrics), "seeds": list(seeds), "clips": {"count": count, "seconds": seconds, "mono": True},
        "keep": 1 if folder else 0,
    }  # fmt: skip
    try:
        suite = TypeAdapter(Suite).validate_python(given)
    except ValidationError as error:
        raise InputError(complaint(error)) from None
    if folder is not None:
        return _run(suite, model, Path(folder), progress, keep=True)
    with TemporaryDirectory() as place:
        return _run(suite, model, Path(place), progress, keep=False)


def _entry(solver: Any, steps: int) -> dict[str, Any]:
    """Row of a solver, with as many levels as all others; its label does not show them."""
    named = Named.parse(solver) if isinstance(solver, str) else Given.of(solver)
    return {"solver": named.changed({"steps": steps}), "label": str(named)}


def _run(suite: Suite, model: str, folder: Path, progress: Tell | None, keep: bool) -> Benchmark:
    run = runner.Run.prepare(suite, folder, [Model(model)])

    def tell(_cell: Any, _record: Any, done: int, total: int, _left: Any) -> None:
        if progress:
            progress(done, total)

    run.work(Local(), run.pending(), tell)
    if keep:
        runner.report(folder)
    planned = run.store.plan()
    return Benchmark(table.tables(planned, run.store.records(each["key"] for each in planned["cells"])), planned)
