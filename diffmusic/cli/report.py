"""Results of a command: its files, its lines on the terminal, and its progress bar."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from diffmusic.audio import files
from diffmusic.audio.resample import resample
from diffmusic.audio.signal import Channels, Signal, whole
from diffmusic.cli.jobs import STREAM, is_stream, named, record_path
from diffmusic.cli.terminal import say
from diffmusic.jobs import outputs, record
from diffmusic.jobs.restore import Outcome
from diffmusic.reports.spectrograms import spectrograms

MOST_NOTES = 12
"""How many notes of a run are printed."""


def write(outcome: Outcome, targets: Sequence[Path], plot: Path | None, subtype: str | None = None) -> dict[str, Any]:
    """Write audio, run record and picture, all or none. Returns the record, with what was written."""
    given, rate = outcome.given, outcome.sample_rate
    # One file a sample and source, whose channels follow each other.
    each = outcome.draws[0].channels // outcome.sources
    parts = [Channels(drawn, first, each) for drawn in outcome.draws for first in range(0, drawn.channels, each)]
    before = None if isinstance(given.measured, np.ndarray) else given.measured
    audio = dict(zip(targets, parts, strict=True))
    contents = encoded(audio, given.like, rate, before, subtype, widen=outcome.sources > 1)
    if plot:
        contents[plot] = spectrograms(_panels(outcome), rate, outcome.lost, outcome.spread)
    return leave(contents, outcome.document)


def encoded(
    recordings: Mapping[Path, Signal],
    like: files.Recording,
    sample_rate: int,
    before: Signal | None,
    subtype: str | None = None,
    widen: bool = False,
) -> dict[Path, outputs.Content]:
    """What writes the files of some results; what will not survive in them is said.

    Args:
        recordings: results by the path of their file.
        like: the file that they come from, whose format they take where the extension lets them.
        sample_rate: Hz.
        before: the audio they were made from, which in a lossy file may exceed full scale.
        subtype: the encoding that is asked for.
        widen: whether what exceeds full scale is kept in floating point where the format has it.
    """
    contents: dict[Path, outputs.Content] = {}
    for path, signal in recordings.items():
        kind, encoding = files.output_format(named(path, like), like, subtype)
        if widen and subtype is None and soundfile.check_format(kind, "FLOAT"):
            over = _exceeding(signal, encoding)
            if over > 0:
                encoding = "FLOAT"
                say(f"note: {path}: {over} samples exceed full scale: written in floating point", err=True)
        recording = dataclasses.replace(like, sample_rate=sample_rate, format=kind, subtype=encoding)
        if recording.lossy:
            say(f"note: {path} is a lossy format: writing it changes the observed samples too", err=True)
        same = recording.lossy and recording.subtype == like.subtype
        contents[path] = partial(_write, path, signal, recording, before if same else None)
    return contents


def _write(path: Path, signal: Signal, like: files.Recording, before: Signal | None, file: BinaryIO) -> None:
    over = files.write(signal, like, file)
    if over > 0 and before is not None:
        over -= _exceeding(before, like.subtype)
    if over > 0:
        floating = soundfile.check_format(like.format, "FLOAT")
        how = "--subtype FLOAT" if floating else "a WAV file with --subtype FLOAT"
        say(f"note: {path}: {over} samples exceed full scale and are clipped; {how} keeps them", err=True)


def _exceeding(signal: Signal, subtype: str) -> int:
    return sum(files.exceeding(block, subtype) for block in signal.blocks())


def leave(contents: Mapping[Path, outputs.Content], document: Mapping[str, Any]) -> dict[str, Any]:
    """Write files and, beside the first of them, the run record, all or none; what goes to a stream has none. Returns
    the record."""
    complete = {**document, "outputs": [str(path) for path in contents]}
    kept = {path: content for path, content in contents.items() if not is_stream(path)}
    if kept:
        outputs.write({**kept, record_path(next(iter(kept))): record.dump(complete).encode()})
    for path, content in contents.items():
        if path not in kept:
            with tempfile.TemporaryFile() as file:
                outputs.fill(file, content)
                file.seek(0)
                _copy(file, path)
    return complete


def _copy(file: BinaryIO, stream: Path) -> None:
    if stream == STREAM:
        shutil.copyfileobj(file, sys.stdout.buffer)
    else:
        with stream.open("wb") as device:
            shutil.copyfileobj(file, device)


def _panels(outcome: Outcome) -> list[tuple[str, np.ndarray | Signal]]:
    """Return titles and audio: the measurement, the first sample, and the truth."""

    def split(name: str, audio: Signal) -> list[tuple[str, np.ndarray | Signal]]:
        count, each = outcome.sources, audio.channels // outcome.sources
        parts = [Channels(audio, first, each) for first in range(0, audio.channels, each)]
        return [(f"{name}, source {k + 1}" if count > 1 else name, part) for k, part in enumerate(parts)]

    given, restored = outcome.given, outcome.draws[0]
    panels = split("restored", restored)
    if not isinstance(given.measured, np.ndarray):
        damaged: np.ndarray | Signal = given.measured
        if (given.sample_rate, given.measured.samples) != (outcome.sample_rate, restored.samples):
            audio = whole(given.measured)
            damaged = resample(audio, given.sample_rate, outcome.sample_rate, restored.samples)
        panels.insert(0, ("damaged", damaged))
    return panels + (split("original", given.clean) if given.clean is not None else [])


def report(document: dict[str, Any], as_json: bool) -> None:
    """Tell what was done: the run record in one line, or a few lines for a reader."""
    err = str(STREAM) in document["outputs"]  # where the audio goes, no line may
    if as_json:
        say(record.line(document), err)
        return
    job, costs = document["job"], document["costs"]
    prior = f" with {job['model']}, {job['steps']} steps" if document["model"] else ""
    spent = f"seed {job['seed']}, {costs['seconds']:.1f} s, {document['peak_memory_bytes'] / 1e9:.1f} GB"
    paths = ", ".join(given["path"] for given in document["inputs"])
    done = f"{job['operator']} solved" if "operator" in job else f"{document['command']}"
    lines = [f"{paths}: {done} by {job['solver']}{prior}, {spent}"]
    if document.get("advice"):
        lines.append("  solver and noise levels as diffmusic models check found best for this prior")
    written = [Path(path) for path in document["outputs"]]
    beside = [record_path(path) for path in written if not is_stream(path)][:1]
    lines += [f"  wrote {path}" for path in (*written, *beside)]
    lines += [f"  {document['samples']['text']}"] if document.get("samples") else []
    notes = [note["text"] for note in document.get("notes", ()) if "text" in note]
    lines += [f"  {text}" for text in notes[:MOST_NOTES]]
    if len(notes) > MOST_NOTES:
        lines.append(f"  and {len(notes) - MOST_NOTES} more, in the run record")
    for name, scores in document["metrics"][0].items() if document.get("metrics") else ():
        inside = "_in_damage" if "restored_in_damage" in scores else ""
        where = " in the damaged part" if inside else ""
        before = f" (damaged: {scores[f'damaged{inside}']:.3f})" if "damaged" in scores else ""
        lines.append(f"  {name}{where}: {scores[f'restored{inside}']:.3f}{before}")
    say("\n".join(lines), err)
