"""Lists of stretches as people have them: on the command line, in a label track, in a table, or found in the file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffmusic.audio import files
from diffmusic.audio.windows import merge
from diffmusic.errors import InputError
from diffmusic.jobs.detect import defects, gaps
from diffmusic.parameters import SPAN, seconds, span

AUTO = "auto"
"""Stands for what a file shows by itself to be lost."""
_LENGTHS = ("length", "duration")


@dataclass(frozen=True)
class Entry:
    """Line of a list of gaps: the interval as written, and the file it belongs to, if one is named."""

    text: str
    file: str | None = None


def read(path: Path) -> list[Entry]:
    """Read a list of gaps from a file.

    A label track of Audacity, with seconds and a name in every line and tabs between them; labels without a length are
    passed over. Or a CSV table with the columns start and end (or length), and file where they are of several.

    Raises InputError for a file that is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    lines = [line for line in text.splitlines() if line.strip()]
    columns = [word.strip() for word in lines[0].lower().replace(";", ",").split(",")] if lines else []
    found = _table(path, lines) if "start" in columns else _labels(path, lines)
    if not found:
        raise InputError(f"{path} names no stretch of time")
    return found


def of_file(entries: Sequence[Entry], path: Path) -> list[str]:
    """Select the lines for one file: those that name it, by path, name or stem, and those that name none."""
    names = {str(path), path.name, path.stem}
    return [entry.text for entry in entries if entry.file is None or entry.file in names]


def beside(folder: Path, path: Path) -> list[Entry]:
    """Read the list in a folder that is named like a file; empty if there is none."""
    for suffix in (".txt", ".csv"):
        for name in (path.stem, path.name):
            if (folder / f"{name}{suffix}").is_file():
                return read(folder / f"{name}{suffix}")
    return []


def resolved(texts: Sequence[str], path: Path) -> list[tuple[float, float]]:
    """Stretches in seconds; several in one text are parted by commas, ``auto`` is what the file itself lacks.

    Raises InputError for what is no stretch, and where there is nothing for ``auto`` to find.
    """
    out: list[tuple[float, float]] = []
    words = [word.strip() for text in texts for word in text.split(",")]
    rate = files.find(path).sample_rate if any("s" in word or word == AUTO for word in words) else None
    for word in words:
        if word == AUTO:
            out += lost(path)
            continue
        try:
            out.append(span(word, rate))
        except ValueError as error:
            raise InputError(f"gap: {error} (got {word!r})") from None
    return out


def lost(path: Path) -> list[tuple[float, float]]:
    """The stretches of a file that are lost, in seconds: what could not be decoded or is no number, and the dropouts
    and clicks that ``diffmusic detect`` finds. Raises InputError for none."""
    recording = files.read(path, finite=False)
    rate = recording.sample_rate
    found = gaps(defects(np.nan_to_num(recording.samples, posinf=0.0, neginf=0.0), rate), rate)
    spans = merge([*found, *((start / rate, stop / rate) for start, stop in recording.lost)])
    if not spans:
        raise InputError(f"{path} has no dropout, no click and nothing that cannot be decoded: which stretch is lost?")
    return spans


def _labels(path: Path, lines: Sequence[str]) -> list[Entry]:
    found = []
    for line in lines:
        if line.startswith("\\"):  # the band of a spectral selection, below its label
            continue
        start, _, rest = line.partition("\t")
        end = rest.partition("\t")[0]
        try:
            # Where the system writes numbers with a comma, so does Audacity.
            times = [seconds(word.replace(",", ".")) for word in (start, end)]
        except ValueError:
            raise InputError(
                f"{path}: {line.strip()!r} is no line of a label track (START, END and a name, parted by tabs), and "
                "the first line names no columns start and end"
            ) from None
        if times[1] > times[0]:
            found.append(Entry(f"{times[0]!r}-{times[1]!r}"))
    return found


def _table(path: Path, lines: Sequence[str]) -> list[Entry]:
    reader = csv.DictReader(lines, delimiter=";" if lines[0].count(";") > lines[0].count(",") else ",")
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    found = []
    for row in reader:
        start = (row["start"] or "").strip()
        length = next((row[name].strip() for name in _LENGTHS if row.get(name)), "")
        end = (row.get("end") or "").strip()
        if not start or not (end or length):
            raise InputError(f"{path}: line {reader.line_num} lacks start, end or length. {SPAN}")
        file = (row.get("file") or "").strip() or None
        found.append(Entry(f"{start}-{end}" if end else f"{start}+{length}", file))
    return found
