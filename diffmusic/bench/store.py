"""Folder of results: one record a cell, written whole or not at all, so that several runs may share it.

DIR/plan.json            the cells of the suite, in order, by their keys
DIR/cells/KEY.json       what was measured in a cell
DIR/sounds/KEY.NAME.flac its audio, for the clips that are kept
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffmusic.bench.cell import Result
from diffmusic.bench.plan import Cell
from diffmusic.errors import InputError
from diffmusic.jobs import outputs, record


@dataclass(frozen=True)
class Store:
    """Results in a folder."""

    folder: Path

    def open(self, plan: dict[str, Any]) -> None:
        """Create the folder, and write the plan there. Raises InputError if it cannot be written."""
        try:
            for name in ("cells", "sounds"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder} cannot be made: {error.strerror or error}") from None
        outputs.write({self.folder / "plan.json": _json(plan)})

    def plan(self) -> dict[str, Any]:
        """Read the plan of the last run. Raises InputError for a folder without one."""
        try:
            made: dict[str, Any] = json.loads((self.folder / "plan.json").read_text())
        except FileNotFoundError:
            raise InputError(f"{self.folder} holds no results yet: run the suite first") from None
        except ValueError as error:
            raise InputError(f"{self.folder}/plan.json cannot be read: {error}") from None
        return made

    def done(self, cell: Cell, retry: bool = False) -> bool:
        """Tell whether a cell needs no more work. retry: a failed cell does."""
        found = self.record(cell.key)
        if found is None or (retry and found["error"]):
            return False
        return bool(found["error"]) or not cell.task.keep or bool(self.sounds(cell.key))

    def record(self, key: str) -> dict[str, Any] | None:
        """Read the record of a cell; None if it has none, or one that a disk has spoilt: the cell is measured again."""
        try:
            found = json.loads((self.folder / "cells" / f"{key}.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def records(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Read the records that exist."""
        return {key: found for key in keys if (found := self.record(key)) is not None}

    def sounds(self, key: str) -> dict[str, Path]:
        """List the audio files of a cell by name: clean, measured, estimate."""
        paths = sorted((self.folder / "sounds").glob(f"{key}.*.flac"))
        return {path.name.split(".")[1]: path for path in paths}

    def put(self, cell: Cell, facts: dict[str, Any], result: Result) -> None:
        """Keep a result. The record is written last, so that a cell with a record is complete."""
        place = self.folder / "sounds"
        outputs.write({place / f"{cell.key}.{name}.flac": sound for name, sound in result.sounds.items()})
        document = {"key": cell.key, **facts, **result.record}
        outputs.write({self.folder / "cells" / f"{cell.key}.json": _json(document)})


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(json.loads(record.dump(document)), ensure_ascii=False).encode() + b"\n"
