"""Run of a suite from its plan to its tables: measure what is missing in the folder, then write everything out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from diffmusic.bench import cell, page, plan, table, text
from diffmusic.bench.clips import Library
from diffmusic.bench.local import Engine
from diffmusic.bench.plan import Cell, Model
from diffmusic.bench.progress import Pace
from diffmusic.bench.store import Store
from diffmusic.bench.suite import Suite
from diffmusic.errors import InputError
from diffmusic.jobs import outputs

Tell = Callable[[Cell, dict[str, Any], int, int, float | None], None]
"""Callback for every finished cell: the cell, its record, the count of finished and of all cells, and the seconds left.
"""


@dataclass(frozen=True)
class Run:
    """Suite ready to run: its cells with their keys, and the folder of results."""

    suite: Suite
    library: Library
    cells: Sequence[Cell]
    store: Store

    @classmethod
    def prepare(cls, suite: Suite, folder: Path, models: Sequence[Model]) -> Run:
        """Load what keys depend on, and write the plan to the folder. Raises InputError for what is missing."""
        try:
            priors = [_examined(each) for each in models]
            library = Library.of(suite)
            bare = plan.cells(suite, models, len(library.excerpts))
            cells = [plan.keyed(each, suite, library, priors) for each in bare]
        except InputError as error:
            raise InputError(f"{error}{f' {suite.needs.strip()}' if suite.needs else ''}") from None
        store = Store(folder)
        store.open(plan.document(suite, cells, library, priors))
        return cls(suite, library, cells, store)

    def pending(self, shard: tuple[int, int] = (0, 1), retry: bool = False) -> list[Cell]:
        """Return the unfinished cells of a shard, one for each key."""
        number, count = shard
        unique = list({each.key: each for each in self.cells}.values())
        return [each for each in unique[number::count] if not self.store.done(each, retry)]

    def work(self, engine: Engine, pending: Sequence[Cell], tell: Tell, workers: int = 1) -> None:
        """Measure cells, and keep each as soon as it is done."""
        problems = {each.name: each for each in self.suite.problems}
        pace = Pace()
        for each in self.cells:
            found = self.store.record(each.key)
            if found and not found["error"]:
                pace.add(each.place, found["seconds"])
        left = {each.key: each for each in pending}

        def jobs() -> Any:
            for each in pending:
                yield each.key, each.task, self.library.material(each.place.clip, problems[each.place.problem])

        for key, result in engine(jobs()):
            done = left.pop(key)
            facts = {**asdict(done.place), "clip": self.library.name(done.place.clip)}
            self.store.put(done, facts, result)
            if not result.record["error"]:
                pace.add(done.place, result.record["seconds"])
            rest = pace.left((each.place for each in left.values()), workers)
            tell(done, result.record, len(pending) - len(left), len(pending), rest)


def _examined(model: Model) -> Model:
    facts = cell.describe_model(model.name, model.device, model.dtype, model.offline)
    return replace(model, hash=facts["sha256"], dtype=facts["dtype"])


def report(folder: Path) -> list[Path]:
    """Write the tables and the page of the results in a folder.

    ``results.jsonl`` has every record without its embeddings, in the order of the plan; ``table.md`` is a function of
    the records alone.

    Returns:
        The files written.
    """
    store = Store(folder)
    planned = store.plan()
    records = store.records(each["key"] for each in planned["cells"])
    made = table.tables(planned, records)
    lines = [_line(each, records[each["key"]]) for each in planned["cells"] if each["key"] in records]
    contents = {
        folder / "table.md": text.markdown(planned, made).encode(),
        folder / "times.md": text.times(planned, made, records).encode(),
        folder / "index.html": page.page(planned, made, store),
        folder / "results.jsonl": "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in lines).encode(),
    }
    outputs.write(contents)
    return list(contents)


def _line(planned: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in found.items() if name not in planned}
    for version in ("raw", "finished"):
        if version in kept:
            kept[version] = kept[version]["scores"]
    return {**planned, **kept}
