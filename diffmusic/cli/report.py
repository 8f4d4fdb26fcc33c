"""What a run leaves behind: the files, the lines on the terminal, and the bar before them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from diffmusic import outputs, record
from diffmusic.audio import files
from diffmusic.job import Outcome
from diffmusic.plot import spectrograms
from diffmusic.restore import Progress


def record_path(output: Path) -> Path:
    """The run record of an output lies beside it."""
    return output.with_name(f"{output.name}.json")


def write(outcome: Outcome, targets: Sequence[Path], plot: Path | None) -> dict[str, Any]:
    """Write audio, run record and picture, all or none. Returns the record, with what was written."""
    contents: dict[Path, bytes] = {}
    for path, audio in zip(targets, outcome.audio, strict=True):
        kind, subtype = files.output_format(path, outcome.given)
        recording = dataclasses.replace(outcome.given, samples=audio, format=kind, subtype=subtype)
        over = files.clipped(recording) - files.clipped(files.with_samples(recording, outcome.damaged))
        if over > 0:
            click.echo(f"note: {path}: {over} restored samples exceed full scale and are clipped", err=True)
        if recording.lossy:
            click.echo(f"note: {path} is a lossy format: writing it changes the observed samples too", err=True)
        contents[path] = files.encode(recording)
    if plot:
        panels = [("damaged", outcome.damaged), ("restored", outcome.audio[0])]
        panels += [("original", outcome.clean.samples)] if outcome.clean else []
        contents[plot] = spectrograms(panels, outcome.given.sample_rate, outcome.lost)
    document = {**outcome.document, "outputs": [str(path) for path in contents]}
    contents[record_path(targets[0])] = record.dump(document).encode()
    outputs.write(contents)
    return document


def report(document: dict[str, Any], as_json: bool) -> None:
    """Tell what was done: the run record, or a few lines for a reader."""
    if as_json:
        click.echo(record.dump(document), nl=False)
        return
    job, costs = document["job"], document["costs"]
    prior = f" with {job['model']}, {job['steps']} steps" if document["model"] else ""
    spent = f"seed {job['seed']}, {costs['seconds']:.1f} s, {document['peak_memory_bytes'] / 1e9:.1f} GB"
    click.echo(f"{document['input']['path']}: {job['operator']} solved by {job['solver']}{prior}, {spent}")
    for path in [*document["outputs"], record_path(Path(document["outputs"][0]))]:
        click.echo(f"  wrote {path}")
    for name, scores in document["metrics"][0].items() if document["metrics"] else ():
        inside = "restored_in_damage" in scores
        restored, damaged = (scores[f"{which}_in_damage" if inside else which] for which in ("restored", "damaged"))
        where = " in the damaged part" if inside else ""
        click.echo(f"  {name}{where}: {restored:.3f} (damaged: {damaged:.3f})")


@contextmanager
def progress_bar(label: str) -> Iterator[Progress | None]:
    """A bar on a terminal, silence in a pipe."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=1.0)
        yield lambda done: bar.update(task, completed=done)
