"""What ``diffmusic solve OPERATOR`` does once its flags are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from diffmusic.audio import files
from diffmusic.cli.flags import OPERATOR
from diffmusic.cli.jobs import access, overridden, result_path, variants
from diffmusic.cli.messages import flagged
from diffmusic.cli.report import progress_bar, record_path, report, write
from diffmusic.errors import DiffmusicError, InputError
from diffmusic.jobs import outputs, record
from diffmusic.jobs.detect import lost
from diffmusic.jobs.restore import RestoreJob

AUTO = "auto"
"""Stands for the gaps that a file shows by itself."""


def solve_files(operator: str, given: dict[str, Any]) -> None:
    """Restore every input. What can be refused before any work is done is refused first."""
    paths = _expanded(given["inputs"])
    plot, references = given["plot"], given["references"]
    if given["simulate"] and references:
        raise InputError("--simulate takes the input itself as the reference; leave --reference out")
    if plot and plot.suffix.lower() != ".png":
        raise InputError(f"--plot {plot}: the picture is a PNG; give a name that ends in .png")
    gap = f"{OPERATOR}gap"
    automatic = given.get(gap) == (AUTO,)
    if automatic and given["simulate"]:
        raise InputError("--simulate damages a clean file: which stretch is to be lost? Give --gap START:END")
    job = _job(operator, {**given, gap: ()} if automatic else given)
    prepared = job.prepare(access(given))
    runs = _runs(paths, job, prepared.sources)
    if len(runs) > 1 and (references or plot):
        raise InputError("--reference and --plot take one input at a time")
    targets = [_targets(run[0], given["output"], len(runs) > 1, job.samples, prepared.sources) for run in runs]
    planned = [path for target in targets for path in (*target, record_path(target[0]))]
    outputs.check(planned + ([plot] if plot else []), [path for path in (*paths, *references, given["config"]) if path])

    failed: list[tuple[Path, DiffmusicError]] = []
    with progress_bar(len(runs)) as bar:
        for number, (run, target) in enumerate(zip(runs, targets, strict=True)):
            try:
                one = prepared.with_operator({"gap": lost(run[0])}) if automatic else prepared
                outcome = one.run(run, references, bar(number, run[0].name))
                document = write(outcome, target, plot)
            except DiffmusicError as error:
                if len(runs) == 1:
                    raise
                failed.append((run[0], error))
                name = "" if str(run[0]) in str(error) else f"{run[0]}: "
                click.echo(f"error: {name}{flagged(error)}", err=True)
                continue
            report(document, given["as_json"])
    if len(runs) > 1 and not given["as_json"]:
        click.echo(f"{len(runs) - len(failed)} of {len(runs)} files restored")
    if failed:
        names = ", ".join(str(path) for path, _ in failed)
        message = f"{len(failed)} of {len(runs)} files failed ({names}); the others are written"
        raise InputError(message) if isinstance(failed[0][1], InputError) else DiffmusicError(message)


def _expanded(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The files that are named, and for a folder the audio files in it, by name. What was restored before is passed
    over. Raises InputError for a folder without audio."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(each for each in path.iterdir() if each.is_file() and each.suffix.lower() in files.FORMATS)
        inside = [each for each in inside if not each.name.startswith(".") and ".restored" not in each.stem]
        if not inside:
            raise InputError(f"folder {path} holds no audio file ({', '.join(files.FORMATS)})")
        found += inside
    return tuple(found)


def _runs(paths: tuple[Path, ...], job: RestoreJob, sources: int) -> list[tuple[Path, ...]]:
    """The inputs of each run: one file, or the files that a simulation mixes."""
    if not job.simulate or sources == 1:
        return [(path,) for path in paths]
    if len(paths) != sources:
        raise InputError(f"--simulate mixes {sources} sources: give {sources} files, not {len(paths)}")
    return [paths]


def _job(operator: str, given: dict[str, Any]) -> RestoreJob:
    """The job of the flags, over that of ``--config``, over the defaults."""
    job = RestoreJob.from_record(record.load(given["config"])) if given["config"] else RestoreJob(operator=operator)
    if job.operator != operator:
        job = dataclasses.replace(job, operator=operator, operator_parameters={})
    job = overridden(job, given)
    flags = {
        name.removeprefix(OPERATOR): list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if name.startswith(OPERATOR) and value not in (None, ())
    }
    return dataclasses.replace(job, operator_parameters={**job.operator_parameters, **flags})


def _targets(path: Path, output: Path | None, several: bool, samples: int, sources: int) -> list[Path]:
    """Where the restorations of one input go: one path a posterior sample and source."""
    if several and output is not None and not output.is_dir():
        raise InputError(f"several inputs need a folder that exists; {output} is none")
    return variants(result_path(path, output, "restored"), ("", samples), ("source", sources))
