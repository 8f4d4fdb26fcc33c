"""Results of a command: its files, its lines on the terminal, and its progress bar."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from diffmusic.audio import files
from diffmusic.audio.resample import resample
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
    # One file a sample and source; (samples, sources * channels, time) holds them in this order.
    parts = outcome.audio.reshape(len(targets), -1, outcome.audio.shape[-1])
    before = given.measured if given.measured.ndim == 2 else None
    audio = dict(zip(targets, parts, strict=True))
    contents = encoded(audio, given.like, rate, before, subtype, widen=outcome.sources > 1)
    if plot:
        contents[plot] = spectrograms(_panels(outcome), rate, outcome.lost)
    return leave(contents, outcome.document)


def encoded(
    recordings: Mapping[Path, np.ndarray],
    like: files.Recording,
    sample_rate: int,
    before: np.ndarray | None,
    subtype: str | None = None,
    widen: bool = False,
) -> dict[Path, bytes]:
    """The files of some results; what will not survive in them is said.

    Args:
        recordings: results, (channels, time), by the path of their file.
        like: the file that they come from, whose format they take where the extension lets them.
        sample_rate: Hz.
        before: the audio they were made from, which in a lossy file may exceed full scale.
        subtype: the encoding that is asked for.
        widen: whether what exceeds full scale is kept in floating point where the format has it.
    """
    contents = {}
    for path, audio in recordings.items():
        recording = _as(path, audio, like, sample_rate, subtype)
        same = before is not None and recording.lossy and recording.subtype == like.subtype
        known = files.clipped(files.with_samples(recording, before)) if before is not None and same else 0
        over = files.clipped(recording) - known
        if over > 0 and widen and subtype is None and soundfile.check_format(recording.format, "FLOAT"):
            recording = dataclasses.replace(recording, subtype="FLOAT")
            say(f"note: {path}: {over} samples exceed full scale: written in floating point", err=True)
        elif over > 0:
            floating = soundfile.check_format(recording.format, "FLOAT")
            how = "--subtype FLOAT" if floating else "a WAV file with --subtype FLOAT"
            say(f"note: {path}: {over} samples exceed full scale and are clipped; {how} keeps them", err=True)
        if recording.lossy:
            say(f"note: {path} is a lossy format: writing it changes the observed samples too", err=True)
        contents[path] = files.encode(recording)
    return contents


def _as(path: Path, audio: np.ndarray, like: files.Recording, rate: int, subtype: str | None) -> files.Recording:
    kind, subtype = files.output_format(named(path, like), like, subtype)
    return dataclasses.replace(like, samples=audio, sample_rate=rate, format=kind, subtype=subtype)


def leave(contents: Mapping[Path, bytes], document: Mapping[str, Any]) -> dict[str, Any]:
    """Write files and, beside the first of them, the run record, all or none; what goes to a stream has none. Returns
    the record."""
    complete = {**document, "outputs": [str(path) for path in contents]}
    kept = {path: content for path, content in contents.items() if not is_stream(path)}
    if kept:
        outputs.write({**kept, record_path(next(iter(kept))): record.dump(complete).encode()})
    for path, data in contents.items():
        if path == STREAM:
            sys.stdout.buffer.write(data)
        elif path not in kept:
            path.write_bytes(data)
    return complete


def _panels(outcome: Outcome) -> list[tuple[str, np.ndarray]]:
    """Return titles and audio, (channels, time): the measurement, the first sample, and the truth."""

    def split(name: str, audio: np.ndarray) -> list[tuple[str, np.ndarray]]:
        several = np.split(audio, outcome.sources)
        return [(f"{name}, source {k + 1}" if len(several) > 1 else name, part) for k, part in enumerate(several)]

    given, length = outcome.given, outcome.audio.shape[-1]
    panels = split("restored", outcome.audio[0])
    if given.measured.ndim == 2:
        panels.insert(0, ("damaged", resample(given.measured, given.sample_rate, outcome.sample_rate, length)))
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
