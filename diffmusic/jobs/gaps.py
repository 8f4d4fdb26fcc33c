"""Lists of stretches as people have them: on the command line, in a label track, in a table, or found in the file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from diffmusic.audio import files
from diffmusic.audio.signal import Finite
from diffmusic.audio.stretches import Stretches
from diffmusic.audio.windows import merge
from diffmusic.errors import InputError
from diffmusic.jobs.detect import CONFIDENCE, Scan, gaps
from diffmusic.parameters import SPAN, rectangle, seconds, span

AUTO = "auto"
"""Stands for what a file shows by itself to be lost."""
_LENGTHS = ("length", "duration")


@dataclass(frozen=True)
class Entry:
    """Line of a list: the interval as written, and the file and the band in Hz, where they are named. A bound of the
    band below 0 is open."""

    text: str
    file: str | None = None
    band: tuple[float, float] | None = None


def read(path: Path) -> list[Entry]:
    """Read a list of gaps from a file.

    A label track of Audacity, with seconds and a name in every line and tabs between them; labels without a length are
    passed over, and a line that begins with a backslash has the band of the label above it. Or a CSV table with the
    columns start and end (or length), low and high where bands are meant, and file where they are of several.

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


def of_file(entries: Sequence[Entry], path: Path) -> list[Entry]:
    """Select the lines for one file: those that name it, by path, name or stem, and those that name none."""
    names = {str(path), path.name, path.stem}
    return [entry for entry in entries if entry.file is None or entry.file in names]


def rectangles(texts: Sequence[str], entries: Sequence[Entry], path: Path) -> list[tuple[float, float, float, float]]:
    """Read rectangles of a file's spectrogram, seconds and Hz: those in texts, parted by commas, and the entries with a
    band. Raises InputError for what is none."""
    out = []
    words = [word.strip() for text in texts for word in text.split(",")]
    for word in words:
        try:
            out.append(rectangle(word))
        except ValueError as error:
            raise InputError(f"region: {error} (got {word!r})") from None
    banded = [entry for entry in entries if entry.band]
    rate = files.find(path).sample_rate if banded else 0
    for entry in banded:
        low, high = entry.band or (0.0, 0.0)
        top = rate / 2 if high < 0 else high
        try:
            out.append((*span(entry.text, rate), max(0.0, low), top))
        except ValueError as error:
            raise InputError(f"region: {error} (got {entry.text!r})") from None
    return out


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
    like, signal, (scan, holes) = files.scanned(path, _scanned)
    rate = like.sample_rate
    certain = [each for each in scan.points(Finite(signal)) if each.confidence >= CONFIDENCE]
    missing = [*like.lost, *holes.found().tolist()]
    spans = merge([*gaps(certain, rate), *((start / rate, stop / rate) for start, stop in missing)])
    if not spans:
        raise InputError(f"{path} has no dropout, no click and nothing that cannot be decoded: which stretch is lost?")
    return spans


def _scanned(rate: int, blocks: Iterator[np.ndarray]) -> tuple[Scan, Stretches]:
    """What is found out of all samples, and where they are no numbers."""
    holes = Stretches()

    def finite() -> Iterator[np.ndarray]:
        for block in blocks:
            holes.add(~np.isfinite(block).all(axis=0))
            yield np.nan_to_num(block, posinf=0.0, neginf=0.0)

    return Scan(rate, finite()), holes


def _labels(path: Path, lines: Sequence[str]) -> list[Entry]:
    found: list[Entry] = []
    of_last = False  # a label without a length is passed over, and its band with it
    for line in lines:
        if line.startswith("\\"):  # the band of a spectral selection, below its label
            if found and of_last:
                found[-1] = replace(found[-1], band=_band(path, line))
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
        if of_last := times[1] > times[0]:
            found.append(Entry(f"{times[0]!r}-{times[1]!r}"))
    return found


def _band(path: Path, line: str) -> tuple[float, float]:
    """The bounds in Hz of a line of a label track that begins with a backslash; Audacity writes -1 for an open one."""
    try:
        low, high = (float(word.replace(",", ".")) for word in line.split("\t")[1:3])
    except ValueError:
        raise InputError(f"{path}: {line.strip()!r} is no band of a label track (a backslash, LOW, HIGH)") from None
    return low, high


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
        bounds = [(row.get(name) or "").strip() for name in ("low", "high")]
        try:
            band = tuple(float(word) if word else -1.0 for word in bounds) if any(bounds) else None
        except ValueError:
            raise InputError(f"{path}: line {reader.line_num}: low and high are numbers, in Hz") from None
        found.append(Entry(f"{start}-{end}" if end else f"{start}+{length}", file, band))  # type: ignore[arg-type]
    return found
