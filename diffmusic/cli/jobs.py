"""What every command that makes audio does with its flags: a job, and names for what it will write."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from diffmusic.audio import files
from diffmusic.errors import InputError
from diffmusic.jobs import record
from diffmusic.jobs.inputs import ARRAYS
from diffmusic.models.load import Access
from diffmusic.parameters import assignments

AnyJob = TypeVar("AnyJob")


def overridden(job: AnyJob, given: Mapping[str, Any]) -> AnyJob:
    """A job, a dataclass with a solver, with every flag that was given in the place of what it said.

    The parameters of a solver do not outlive it. ``given["settings"]`` are those of the new one, ``KEY=VALUE``.
    """
    current: Any = job
    names = {field.name for field in dataclasses.fields(current)}
    chosen = {name: value for name, value in given.items() if name in names and value not in (None, ())}
    kept = current.solver_parameters if chosen.get("solver", current.solver) == current.solver else {}
    changed: AnyJob = dataclasses.replace(
        current, **chosen, solver_parameters={**kept, **assignments(given["settings"])}
    )
    return changed


def access(given: Mapping[str, Any]) -> Access:
    """Build the model-loading permissions from the flags. Raises InputError for ``--exact`` without a record."""
    path, exact = given["config"], given["exact"]
    if exact and path is None:
        raise InputError("--exact repeats a run: give its record with --config RUN.json")
    recorded = record.model_hash(path) if path and not given["model"] else ""
    if exact and not recorded and not given["model"]:
        raise InputError(f"--exact: {path} does not say which weights it was made with")
    for changed in record.changed_adapters(path) if path and not given.get("adapter") else ():
        message = f"the adapter {changed} is not the one of the run record"
        if exact:
            raise InputError(message)
        warnings.warn(message, stacklevel=2)
    return Access(given["offline"], given["allow_pickle"], recorded, exact)


def result_path(path: Path, output: Path | None, word: str) -> Path:
    """Where the result of an input goes: NAME.word.EXT beside it or in the folder ``output``, or ``output`` itself.

    Raises InputError for a folder that does not exist and an extension that cannot be written.
    """
    suffix = ".wav" if path.suffix.lower() in ARRAYS else path.suffix
    base = path.with_name(f"{path.stem}.{word}{suffix}")
    if output is not None:
        if not output.suffix and not output.is_dir():
            raise InputError(f"output folder {output} does not exist")
        base = output / base.name if output.is_dir() else output
    if output is not None or path.is_file():
        files.container(base)
    return base


def variants(base: Path, *counts: tuple[str, int]) -> list[Path]:
    """``song-1-source1.wav``, ``song-1-source2.wav``, ...: a number for everything that there are several of.

    counts: (word, how many), the slowest first.
    """
    parts = [[f"-{word}{n}" for n in range(1, count + 1)] if count > 1 else [""] for word, count in counts]
    return [base.with_name(f"{base.stem}{''.join(words)}{base.suffix}") for words in product(*parts)]
