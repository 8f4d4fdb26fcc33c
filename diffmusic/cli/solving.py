"""What ``diffmusic solve OPERATOR`` does once its flags are read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from diffmusic import outputs, record
from diffmusic.audio import files
from diffmusic.cli.flags import OPERATOR, assignments
from diffmusic.cli.report import progress_bar, record_path, report, write
from diffmusic.errors import DiffmusicError, InputError
from diffmusic.job import Job


def solve_files(operator: str, given: dict[str, Any]) -> None:
    """Restore every input. What can be refused before any work is done is refused first."""
    inputs: tuple[Path, ...] = given["inputs"]
    plot, reference = given["plot"], given["reference"]
    if len(inputs) > 1 and (reference or plot):
        raise InputError("--reference and --plot take one input at a time")
    if given["simulate"] and reference:
        raise InputError("--simulate takes the input itself as the reference; leave --reference out")
    if plot and plot.suffix.lower() != ".png":
        raise InputError(f"--plot {plot}: the picture is a PNG; give a name that ends in .png")
    job = _job(operator, given)
    prepared = job.prepare()
    targets = [_targets(path, given["output"], len(inputs) > 1, job.samples) for path in inputs]
    planned = [path for target in targets for path in (*target, record_path(target[0]))]
    outputs.check(planned + ([plot] if plot else []), [path for path in (*inputs, reference, given["config"]) if path])

    failed = 0
    for path, target in zip(inputs, targets, strict=True):
        try:
            with progress_bar(path.name) as progress:
                outcome = prepared.run(path, reference, progress)
            document = write(outcome, target, plot)
        except DiffmusicError as error:
            if len(inputs) == 1:
                raise
            failed += 1
            click.echo(f"error: {path}: {error}", err=True)
            continue
        report(document, given["as_json"])
    if failed:
        raise InputError(f"{failed} of {len(inputs)} files failed; the others are written")


def _job(operator: str, given: dict[str, Any]) -> Job:
    """The job of the flags, over that of ``--config``, over the defaults."""
    job = Job.from_record(record.load(given["config"])) if given["config"] else Job(operator)
    if job.operator != operator:
        job = dataclasses.replace(job, operator=operator, operator_parameters={})
    names = {field.name for field in dataclasses.fields(Job)}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if name in names and value is not None}
    if chosen.get("solver", job.solver) != job.solver:
        job = dataclasses.replace(job, solver_parameters={})
    flags = {
        name.removeprefix(OPERATOR): list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if name.startswith(OPERATOR) and value not in (None, ())
    }
    return dataclasses.replace(
        job,
        **chosen,
        operator_parameters={**job.operator_parameters, **flags},
        solver_parameters={**job.solver_parameters, **assignments(given["settings"])},
    )


def _targets(path: Path, output: Path | None, several: bool, samples: int) -> list[Path]:
    """Where the restorations of one input go, one path a posterior sample."""
    if several and output is not None and not output.is_dir():
        raise InputError(f"several inputs need a folder that exists; {output} is none")
    base = path.with_name(f"{path.stem}.restored{path.suffix}")
    if output is not None:
        if not output.suffix and not output.is_dir():
            raise InputError(f"output folder {output} does not exist")
        base = output / base.name if output.is_dir() else output
    if output is not None or path.is_file():
        files.container(base)
    if samples == 1:
        return [base]
    return [base.with_name(f"{base.stem}-{number}{base.suffix}") for number in range(1, samples + 1)]
