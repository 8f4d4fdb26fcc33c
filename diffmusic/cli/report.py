"""What a run leaves behind: the files, the lines on the terminal, and the bar before them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from diffmusic.audio import files
from diffmusic.audio.resample import resample
from diffmusic.jobs import outputs, record
from diffmusic.jobs.restore import Outcome
from diffmusic.prior.progress import ProgressCallback
from diffmusic.reports.spectrograms import spectrograms

MOST_NOTES = 12
"""How many notes of a run are printed."""


def record_path(output: Path) -> Path:
    """The run record of an output lies beside it."""
    return output.with_name(f"{output.name}.json")


def write(outcome: Outcome, targets: Sequence[Path], plot: Path | None) -> dict[str, Any]:
    """Write audio, run record and picture, all or none. Returns the record, with what was written."""
    given, rate = outcome.given, outcome.sample_rate
    # One file a sample and source; (samples, sources * channels, time) holds them in this order.
    parts = outcome.audio.reshape(len(targets), -1, outcome.audio.shape[-1])
    before = given.measured if given.measured.ndim == 2 else None
    contents = encoded(dict(zip(targets, parts, strict=True)), given.like, rate, before)
    if plot:
        contents[plot] = spectrograms(_panels(outcome), rate, outcome.lost)
    return leave(contents, outcome.document)


def encoded(
    recordings: Mapping[Path, np.ndarray], like: files.Recording, sample_rate: int, before: np.ndarray | None
) -> dict[Path, bytes]:
    """The files of some results, (channels, time), in the format of ``like`` where the extension lets it; what will
    not survive in them is said. before: the audio they were made from, which in a lossy file may exceed full scale."""
    contents = {}
    for path, audio in recordings.items():
        kind, subtype = files.output_format(path, like)
        recording = dataclasses.replace(like, samples=audio, sample_rate=sample_rate, format=kind, subtype=subtype)
        same = before is not None and recording.lossy and subtype == like.subtype
        known = files.clipped(files.with_samples(recording, before)) if before is not None and same else 0
        over = files.clipped(recording) - known
        if over > 0:
            click.echo(f"note: {path}: {over} samples exceed full scale and are clipped", err=True)
        if recording.lossy:
            click.echo(f"note: {path} is a lossy format: writing it changes the observed samples too", err=True)
        contents[path] = files.encode(recording)
    return contents


def leave(contents: Mapping[Path, bytes], document: Mapping[str, Any]) -> dict[str, Any]:
    """Write files and, beside the first of them, the run record, all or none. Returns the record."""
    complete = {**document, "outputs": [str(path) for path in contents]}
    outputs.write({**contents, record_path(next(iter(contents))): record.dump(complete).encode()})
    return complete


def _panels(outcome: Outcome) -> list[tuple[str, np.ndarray]]:
    """Titles and audio, (channels, time): what was measured, the first sample, and the truth."""

    def split(name: str, audio: np.ndarray) -> list[tuple[str, np.ndarray]]:
        several = np.split(audio, outcome.sources)
        return [(f"{name}, source {k + 1}" if len(several) > 1 else name, part) for k, part in enumerate(several)]

    given, length = outcome.given, outcome.audio.shape[-1]
    panels = split("restored", outcome.audio[0])
    if given.measured.ndim == 2:
        panels.insert(0, ("damaged", resample(given.measured, given.sample_rate, outcome.sample_rate, length)))
    return panels + (split("original", given.clean) if given.clean is not None else [])


def report(document: dict[str, Any], as_json: bool) -> None:
    """Tell what was done: the run record, or a few lines for a reader."""
    if as_json:
        click.echo(record.dump(document), nl=False)
        return
    job, costs = document["job"], document["costs"]
    prior = f" with {job['model']}, {job['steps']} steps" if document["model"] else ""
    spent = f"seed {job['seed']}, {costs['seconds']:.1f} s, {document['peak_memory_bytes'] / 1e9:.1f} GB"
    paths = ", ".join(given["path"] for given in document["inputs"])
    done = f"{job['operator']} solved" if "operator" in job else f"{document['command']}"
    click.echo(f"{paths}: {done} by {job['solver']}{prior}, {spent}")
    for path in [*document["outputs"], record_path(Path(document["outputs"][0]))]:
        click.echo(f"  wrote {path}")
    notes = [note["text"] for note in document.get("notes", ()) if "text" in note]
    for text in notes[:MOST_NOTES]:
        click.echo(f"  {text}")
    if len(notes) > MOST_NOTES:
        click.echo(f"  and {len(notes) - MOST_NOTES} more, in the run record")
    for name, scores in document["metrics"][0].items() if document.get("metrics") else ():
        inside = "_in_damage" if "restored_in_damage" in scores else ""
        where = " in the damaged part" if inside else ""
        before = f" (damaged: {scores[f'damaged{inside}']:.3f})" if "damaged" in scores else ""
        click.echo(f"  {name}{where}: {scores[f'restored{inside}']:.3f}{before}")


@contextmanager
def progress_bar(files: int) -> Iterator[Callable[[float, str], ProgressCallback | None]]:
    """One bar on a terminal for all files, silence in a pipe. Yields what makes the progress of a file from its number
    and name."""
    if not sys.stderr.isatty():
        yield lambda number, name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=float(files))

        def begin(number: float, name: str) -> ProgressCallback:
            label = name if files == 1 else f"{name} ({number + 1} of {files})"
            bar.update(task, completed=number, description=label)
            return lambda done: bar.update(task, completed=number + done)

        yield begin
