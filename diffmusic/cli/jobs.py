"""Shared parts of the commands that make audio: the job from the flags, and the names of the files to write."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from diffmusic.audio import files
from diffmusic.audio.formats import Kind, extension
from diffmusic.cli.terminal import say
from diffmusic.errors import InputError
from diffmusic.jobs import outputs, record
from diffmusic.jobs.inputs import ARRAYS
from diffmusic.models.load import Access
from diffmusic.parameters import assignments

AnyJob = TypeVar("AnyJob")
STREAM = Path("-")
"""Stdin as an input, stdout as an output."""


def overridden(job: AnyJob, given: Mapping[str, Any]) -> AnyJob:
    """Override fields of a job, a dataclass with a solver, with the flags that are set.

    A new solver drops the old one's parameters. ``given["settings"]`` are those of the new one, ``KEY=VALUE``.
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
    if path and (note := record.other_threads(path)):
        warnings.warn(note, stacklevel=2)
    for changed in record.changed_adapters(path) if path and not given.get("adapter") else ():
        message = f"the adapter {changed} is not the one of the run record"
        if exact:
            raise InputError(message)
        warnings.warn(message, stacklevel=2)
    return Access(given["offline"], given["allow_pickle"], recorded, exact)


def is_stream(path: Path) -> bool:
    """Whether an output is stdout, or a device such as /dev/null: neither has a name to tell a format by, nor a place
    beside it."""
    return path == STREAM or (path.exists() and not path.is_file() and not path.is_dir())


def named(path: Path, like: Kind) -> Path:
    """An output's name; for a stream one that keeps the kind of the file it comes from."""
    return Path(f"stdout{extension(like)}") if is_stream(path) else path


def result_path(path: Path, output: Path | None, word: str) -> Path:
    """Return the path of an input's result: NAME.word.EXT in its folder or in the folder ``output``, or ``output``
    itself.

    EXT is the input's own, unless that cannot be written: then it is that of its format, or ``.wav``. An output without
    an extension is a folder, which is made when something is written. Raises InputError for an extension that cannot be
    written.
    """
    if output is not None and is_stream(output):
        return output
    suffix = path.suffix
    if path.suffix.lower() in ARRAYS:
        suffix = ".wav"
    elif path.is_file() and (output is None or not output.suffix or output.is_dir()):
        suffix = _suffix(path)
    base = path.with_name(f"{path.stem}.{word}{suffix}")
    if output is not None:
        base = output / base.name if output.is_dir() or not output.suffix else output
    if output is not None or path.is_file():
        files.container(base)
    return base


def _suffix(path: Path) -> str:
    """The extension of a file, or that of a kind that keeps its samples where its own does not."""
    known = path.suffix.lower() in files.FORMATS
    if known and path.suffix.lower() not in (".ogg", ".oga"):
        return path.suffix
    try:
        source = files.find(path)
    except InputError:
        if known:  # it says so later, with the rest of a batch
            return path.suffix
        raise
    return path.suffix if known and source.subtype in files.LOSSY else extension(source)


def claim(paths: Sequence[Path], used: Sequence[Path | None], given: Mapping[str, Any]) -> None:
    """Raise InputError, before any work is done, where a result cannot be written, or may not: over an input, or, with
    ``--no-clobber``, over anything. Says which file will be replaced that no run record says is a result."""
    written = [path for path in paths if not is_stream(path)]
    outputs.check(written, [path for path in used if path])
    there = [path for path in written if path.exists()]
    if there and given["no_clobber"]:
        raise InputError(f"output {there[0]} is there already, and --no-clobber leaves it")
    foreign = [path for path in there if not any(record_path(each).is_file() for each in paths)]
    for path in foreign:
        say(f"note: {path} is there already and will be replaced (--no-clobber leaves it)", err=True)


def record_path(output: Path) -> Path:
    """The run record of an output lies beside it."""
    return output.with_name(f"{output.name}.json")


def check_results(
    paths: Sequence[Path], path: Path, subtype: str | None = None, parts: int = 1, rate: int | None = None
) -> None:
    """Raise InputError, before any work is done, where a file of a result cannot hold what an input will become.

    Args:
        paths: the files of the result.
        path: the input.
        subtype: the encoding that is asked for.
        parts: how many times the channels of the input are in it all, such as sources in a mixture made of all.
        rate: of the result, Hz; that of the input by default.
    """
    if path.suffix.lower() in ARRAYS:
        return
    source = files.find(path)
    rate = rate or source.sample_rate
    samples = round(source.samples * rate / source.sample_rate) * parts
    shapes = [named(each, source) for each in paths]
    outputs.check_formats(shapes, source, rate, source.channels, samples, subtype)


def variants(base: Path, *counts: tuple[str, int]) -> list[Path]:
    """Number a path for several results: ``song-1-source1.wav``, ``song-1-source2.wav``, ...

    counts: (word, how many), the slowest first.
    """
    parts = [[f"-{word}{n}" for n in range(1, count + 1)] if count > 1 else [""] for word, count in counts]
    return [base.with_name(f"{base.stem}{''.join(words)}{base.suffix}") for words in product(*parts)]
