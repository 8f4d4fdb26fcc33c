"""``diffmusic solve OPERATOR INPUT...``: each installed operator is a sub-command, made from its dataclass."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffmusic import outputs
from diffmusic.errors import DiffmusicError, InputError
from diffmusic.plugins import registry

if TYPE_CHECKING:
    from diffmusic.job import Job, Outcome
    from diffmusic.restore import Progress

JOB_OPTIONS = ("solver", "model", "prompt", "steps", "seed", "samples", "finish", "simulate", "device")


def parse_assignments(texts: Sequence[str]) -> dict[str, str]:
    """``["rate=2", ...]`` as a mapping. Raises InputError for one without ``=``."""
    pairs = [text.partition("=") for text in texts]
    for text, (key, equals, _) in zip(texts, pairs, strict=True):
        if not equals or not key:
            raise InputError(f"write KEY=VALUE, not {text!r}")
    return {key.strip().replace("-", "_"): value for key, _, value in pairs}


class Operators(click.Group):
    """One sub-command for each installed operator."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(registry().components("operator"))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Operators"):
            formatter.write_dl([(name, spec.summary) for name, spec in registry().components("operator").items()])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        spec = registry().find("operator", name)
        return click.Command(
            name,
            params=[*_operator_options(spec.load()), *_common_options()],
            callback=lambda **given: _solve(name, given),
            help=f"{spec.summary[:1].upper()}{spec.summary[1:]}. Restores INPUT..., the damaged recordings.",
            short_help=spec.summary,
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # `solve --config RUN.json -o OUT` repeats a run: operator and input are in the record.
        if args and args[0] == "--config" and len(args) > 1:
            from diffmusic import record

            recorded = record.load(Path(args[1]))
            args = [recorded["job"]["operator"], recorded["input"]["path"], *args]
        return super().parse_args(ctx, args)


@click.command(cls=Operators, no_args_is_help=True, subcommand_metavar="OPERATOR INPUT... [OPTIONS]")
def solve() -> None:
    """Restore recordings: say what damaged them, and get back what would have been there.

    \b
    diffmusic solve inpainting song.flac --gap 12.0:12.8 -o restored.flac
    diffmusic solve inpainting --help          the flags of one operator
    diffmusic solve --config restored.flac.json -o again.flac    repeat a run
    """


def _operator_options(component: type) -> list[click.Parameter]:
    from diffmusic.parameters import parameters

    options: list[click.Parameter] = []
    for parameter in parameters(component):
        flag = f"--{parameter.name.replace('_', '-')}"
        shown = "" if parameter.required or parameter.default in ((), None) else f"  [default: {parameter.default}]"
        # Defaults stay with the dataclass: an option that was not given is None or empty, so a record can fill in.
        if parameter.kind == "BOOL":
            options.append(
                click.Option(
                    [f"{flag}/--no-{flag[2:]}", f"op_{parameter.name}"], default=None, help=parameter.help + shown
                )
            )
            continue
        options.append(
            click.Option(
                [flag, f"op_{parameter.name}"],
                multiple=parameter.repeatable,
                metavar=parameter.kind,
                help=parameter.help + shown,
            )
        )
    return options


def _common_options() -> list[click.Parameter]:
    def option(*names: str, **settings: Any) -> click.Option:
        return click.Option(list(names), **settings)

    path = click.Path(path_type=Path)
    return [
        click.Argument(["inputs"], nargs=-1, required=True, type=path, metavar="INPUT..."),
        option("-o", "--output", type=path, help="Where to write; a folder for several inputs. "
               "[default: NAME.restored.EXT beside the input]"),
        option("--solver", metavar="NAME", help="See diffmusic solvers.  [default: diffmusic]"),
        option("-s", "settings", multiple=True, metavar="KEY=VALUE", help="Set a parameter of the solver."),
        option("--model", metavar="NAME|DIR", help="The prior; see diffmusic models.  [default: mini]"),
        option("--prompt", metavar="TEXT", help="What the music is, for a prior that reads text."),
        option("--steps", type=int, metavar="N", help="Noise levels.  [default: 50]"),
        option("--seed", type=int, metavar="N", help="The result is a function of it.  [default: 0]"),
        option("--samples", type=int, metavar="N", help="Different restorations to draw.  [default: 1]"),
        option("--finish/--no-finish", default=None, help="Put back what was observed, or give the raw estimate."),
        option("--simulate", is_flag=True, default=None, help="INPUT is clean: damage it first, and measure."),
        option("--reference", type=path, metavar="CLEAN", help="The true recording, to measure against."),
        option("--plot", type=path, metavar="PNG", help="Draw spectrograms before and after."),
        option("--device", metavar="NAME", help="auto, cpu, cuda or mps.  [default: auto]"),
        option("--config", type=path, metavar="RUN.json", help="Take what is not given here from a run record."),
        option("--json", "as_json", is_flag=True, help="Print the run record, and nothing else."),
    ]  # fmt: skip


def _solve(operator: str, given: dict[str, Any]) -> None:
    inputs: tuple[Path, ...] = given["inputs"]
    if len(inputs) > 1 and (given["reference"] or given["plot"]):
        raise InputError("--reference and --plot take one input at a time")
    if given["simulate"] and given["reference"]:
        raise InputError("--simulate takes the input itself as the reference; leave --reference out")
    # What can be refused without loading a model is refused first.
    if given["plot"] and given["plot"].suffix.lower() != ".png":
        raise InputError(f"--plot {given['plot']}: the picture is a PNG; give a name that ends in .png")

    from diffmusic.audio.files import output_format, read

    for path in inputs:
        read(path)  # a bad file is refused before a model loads
    job = _job(operator, given)
    prepared = job.prepare()
    targets = [_targets(path, given["output"], len(inputs) > 1, job.samples) for path in inputs]
    planned = [path for target in targets for path in (*target, record_path(target[0]))]
    planned += [given["plot"]] if given["plot"] else []
    sources = [path for path in (*inputs, given["reference"], given["config"]) if path]
    for target in targets:
        for path in target:
            output_format(path, _any_recording())
    outputs.check(planned, sources)

    failures: list[tuple[Path, DiffmusicError]] = []
    for path, target in zip(inputs, targets, strict=True):
        try:
            with _progress(path.name) as progress:
                outcome = prepared.run(path, given["reference"], progress)
            written = _write(outcome, target, given["plot"])
        except DiffmusicError as error:
            if len(inputs) == 1:
                raise
            failures.append((path, error))
            click.echo(f"error: {path}: {error}", err=True)
            continue
        _report(outcome, target, written, given["as_json"])
    if failures:
        raise InputError(f"{len(failures)} of {len(inputs)} files failed; the others are written")


def _any_recording() -> Any:
    import numpy as np

    from diffmusic.audio.files import Recording

    return Recording(np.zeros((1, 1)), 16000)


def _job(operator: str, given: dict[str, Any]) -> Job:
    from diffmusic import record
    from diffmusic.job import Job

    job = Job(operator)
    if given["config"]:
        job = Job.from_record(record.load(given["config"]))
        if job.operator != operator:
            job = Job(operator)
    import dataclasses

    chosen = {name: given[name] for name in JOB_OPTIONS if given[name] is not None}
    flags = {
        name.removeprefix("op_"): list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if name.startswith("op_") and value not in (None, ())
    }
    kept = {} if chosen.get("solver", job.solver) != job.solver else dict(job.solver_parameters)
    return dataclasses.replace(
        job,
        **chosen,
        operator_parameters={**job.operator_parameters, **flags},
        solver_parameters={**kept, **parse_assignments(given["settings"])},
    )


def record_path(output: Path) -> Path:
    """The run record of an output lies beside it."""
    return output.with_name(f"{output.name}.json")


def _targets(path: Path, output: Path | None, several: bool, samples: int) -> list[Path]:
    if several or (output and output.is_dir()):
        if output is not None and not output.is_dir():
            raise InputError(f"several inputs need a folder that exists; {output} is none")
        base = (output or path.parent) / f"{path.stem}.restored{path.suffix}"
    else:
        base = output or path.with_name(f"{path.stem}.restored{path.suffix}")
    if samples == 1:
        return [base]
    return [base.with_name(f"{base.stem}-{number}{base.suffix}") for number in range(1, samples + 1)]


def _write(outcome: Outcome, targets: Sequence[Path], plot: Path | None) -> list[Path]:
    import dataclasses

    from diffmusic import record
    from diffmusic.audio import files
    from diffmusic.plot import spectrograms

    contents: dict[Path, bytes] = {}
    for path, audio in zip(targets, outcome.audio, strict=True):
        kind, subtype = files.output_format(path, outcome.given)
        recording = dataclasses.replace(outcome.given, samples=audio, format=kind, subtype=subtype)
        if over := files.clipped(recording) - files.clipped(dataclasses.replace(recording, samples=outcome.damaged)):
            click.echo(f"note: {path}: {over} restored samples exceed full scale and are clipped", err=True)
        if recording.lossy:
            click.echo(f"note: {path} is a lossy format: writing it changes the observed samples too", err=True)
        contents[path] = files.encode(recording)
    document = {**outcome.document, "outputs": [str(path) for path in targets]}
    contents[record_path(targets[0])] = record.dump(document).encode()
    if plot:
        panels = [("damaged", outcome.damaged), ("restored", outcome.audio[0])]
        panels += [("original", outcome.clean.samples)] if outcome.clean else []
        contents[plot] = spectrograms(panels, outcome.given.sample_rate, outcome.lost)
    outputs.write(contents)
    return list(contents)


def _report(outcome: Outcome, targets: Sequence[Path], written: Sequence[Path], as_json: bool) -> None:
    from diffmusic import record

    document = outcome.document
    if as_json:
        click.echo(record.dump({**document, "outputs": [str(path) for path in targets]}), nl=False)
        return
    job, costs = document["job"], document["costs"]
    prior = f" with {job['model']}, {job['steps']} steps" if document["model"] else ""
    click.echo(f"{document['input']['path']}: {job['operator']} solved by {job['solver']}{prior}, seed {job['seed']}, "
               f"in {costs['seconds']:.1f} s")  # fmt: skip
    for path in written:
        click.echo(f"  wrote {path}")
    for name, scores in document["metrics"][0].items() if document["metrics"] else ():
        inside = "restored_in_damage" in scores
        restored, damaged = (scores[f"{which}_in_damage" if inside else which] for which in ("restored", "damaged"))
        where = " in the damaged part" if inside else ""
        click.echo(f"  {name}{where}: {restored:.3f} (damaged: {damaged:.3f})")


@contextmanager
def _progress(label: str) -> Iterator[Progress | None]:
    """A bar on a terminal, silence in a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=1.0)
        yield lambda done: bar.update(task, completed=done)
