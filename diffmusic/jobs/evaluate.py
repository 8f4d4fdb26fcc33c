"""Anyone's files against anyone's references: pairs by name, and the two sets as wholes."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffmusic.audio import files
from diffmusic.audio.resample import resample
from diffmusic.errors import InputError
from diffmusic.jobs import record
from diffmusic.metrics.contract import Metric, SetMetric, described, is_set, load_metric, measure, takes_prompt
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import row
from diffmusic.plugins import registry

SUFFIXES = (".restored", ".edited", ".fused")
"""Suffixes that diffmusic appends to the name of a file."""
SLACK = 0.1
"""Seconds by which the lengths of a pair may differ: codecs pad, resampling rounds."""

Begin = Callable[[float, str], Any]


@dataclass(frozen=True)
class Matched:
    """Files of two folders: pairs by name, and the names that only one folder has."""

    pairs: Mapping[str, tuple[Path, Path]]
    only_reference: tuple[str, ...]
    only_estimate: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """What may be done to make a pair comparable, beside resampling: cut both to the shorter length, and take the mean
    of their channels."""

    cut: bool = False
    mono: bool = False


def default_metrics() -> list[str]:
    """List the metrics that every run reports, the default."""
    return [name for name, spec in registry().components("metric").items() if spec.reported]


def match(reference: Path, estimate: Path) -> Matched:
    """The files of two folders by their path below the folder, without extension and without ``.restored`` and the
    like; two files are one pair, whatever they are called. Raises InputError for a name that a folder has twice."""
    if reference.is_file() and estimate.is_file():
        return Matched({estimate.name: (reference, estimate)}, (), ())
    for path, other in ((reference, estimate), (estimate, reference)):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        if path.is_file():
            raise InputError(f"{path} is a file and {other} a folder: give two files, or two folders")
    first, second = _named(reference), _named(estimate)
    return Matched(
        {name: (first[name], second[name]) for name in first if name in second},
        tuple(name for name in first if name not in second),
        tuple(name for name in second if name not in first),
    )


def _named(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in _recordings(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        for suffix in SUFFIXES:
            name = name.removesuffix(suffix)
        if name in found:
            raise InputError(f"{found[name]} and {path} have one name, {name}: which of them is meant?")
        found[name] = path
    return found


def _recordings(path: Path) -> list[Path]:
    found = [path] if path.is_file() else files.below(path)
    if not found:
        raise InputError(f"folder {path} holds no audio file ({', '.join(files.FORMATS)})")
    return found


def read_pair(reference: Path, estimate: Path, fit: Fit) -> tuple[np.ndarray, np.ndarray, int, list[str]]:
    """Both recordings, (channels, time), at the reference's rate, that rate, and what had to be done for it.

    Raises InputError for channels or lengths that differ, unless ``fit`` says what to do.
    """
    x, y = files.read(reference), files.read(estimate)
    rate, done = x.sample_rate, []
    a, b = x.samples, y.samples
    if y.sample_rate != rate:
        b = resample(b, y.sample_rate, rate)
        done.append(f"resampled from {y.sample_rate} to {rate} Hz")
    if fit.mono:
        a, b = a.mean(0, keepdims=True), b.mean(0, keepdims=True)
    if len(a) != len(b):
        raise InputError(
            f"{estimate} has {len(b)} channel{'s' * (len(b) > 1)} and {reference} {len(a)}: `mono` compares their means"
        )
    length = min(a.shape[-1], b.shape[-1])
    longer = max(a.shape[-1], b.shape[-1]) - length
    if longer > SLACK * rate and not fit.cut:
        raise InputError(
            f"{estimate} lasts {b.shape[-1] / rate:.3f} s and {reference} {a.shape[-1] / rate:.3f} s: `cut` compares "
            "what both have"
        )
    if longer:
        done.append(f"cut by {longer} samples to {length / rate:.3f} s")
    return a[:, :length], b[:, :length], rate, done


def prompts_of(path: Path) -> dict[str, str]:
    """Prompts by the names of recordings, from a CSV file with the columns file and prompt. Raises InputError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as table:
            reader = csv.DictReader(table)
            if not {"file", "prompt"} <= set(reader.fieldnames or ()):
                raise InputError(f"{path} needs the columns file and prompt")
            return {Path(each["file"]).with_suffix("").as_posix(): each["prompt"] or "" for each in reader}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from None


def evaluate(
    reference: Path,
    estimate: Path,
    names: Sequence[str],
    access: Access = SAFE,
    fit: Fit | None = None,
    prompts: Callable[[str], str | None] = lambda name: None,
    begin: Begin = lambda done, name: None,
) -> dict[str, Any]:
    """Metrics of pairs over the files that have the same name, those of sets over all files, as plain values.

    names: as ``load_metric`` takes them. prompts: what an estimate should sound like, by its name. begin: is
    told of every file, with the part of the work that is done before it. Raises InputError for what cannot be compared.
    """
    loaded = {text: load_metric(text, access) for text in dict.fromkeys(names)}
    pairwise = {text: each for text, each in loaded.items() if not is_set(each)}
    sets = {text: each for text, each in loaded.items() if is_set(each)}
    matched = match(reference, estimate) if pairwise else Matched({}, (), ())
    if pairwise and not matched.pairs:
        raise InputError(
            f"no file of {estimate} has the name of one of {reference} ({', '.join(matched.only_estimate[:3])} against "
            f"{', '.join(matched.only_reference[:3])})"
        )
    for text, each in pairwise.items():
        unsaid = [name for name in matched.pairs if takes_prompt(each) and not prompts(name)]
        if unsaid:
            raise InputError(f"metric {row(text)[0]!r} needs to be told what {unsaid[0]} should sound like: `prompt`")
    found = [_recordings(path) for path in (reference, estimate)] if sets else []
    embedders = {_embedding(each): each for each in sets.values()}
    total, count = len(matched.pairs) + len(embedders) * sum(map(len, found)), itertools.count()

    def told(name: str) -> None:
        begin(next(count) / total, name)

    rows: list[dict[str, Any]] = []
    for name, paths in matched.pairs.items():
        told(name)
        a, b, rate, done = read_pair(*paths, fit or Fit())
        values = {text: _value(measure(each, a, b, rate, prompts(name))) for text, each in pairwise.items()}
        rows.append({"name": name, "values": values, "done": done, "files": record.files(paths)})
    embedded = {key: _embed(embedder, found, told) for key, embedder in embedders.items()}
    return {
        "command": "evaluate",
        "versions": record.versions(),
        "plugin_files": record.plugin_files(),
        "fit": {"cut": bool(fit and fit.cut), "mono": bool(fit and fit.mono)},
        "files": rows,
        "metrics": {text: _summary(text, each, rows) for text, each in pairwise.items()},
        "sets": {text: _compare(each, embedded[_embedding(each)]) for text, each in sets.items()},
        "unmatched": {"reference": list(matched.only_reference), "estimate": list(matched.only_estimate)},
    }


def _value(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _summary(text: str, metric: Metric, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean over the files that have a value, its standard error, their number, and what the metric says of itself."""
    values = [each["values"][text] for each in rows if each["values"][text] is not None]
    mean = float(np.mean(values)) if values else None
    error = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return {"mean": mean, "standard_error": error, "files": len(values), **_described(metric)}


def _described(metric: Metric) -> dict[str, Any]:
    facts = described(metric)
    return {"model": facts} if facts else {}


def _embedding(metric: SetMetric) -> str:
    return json.dumps(metric.describe(), sort_keys=True)


def _embed(metric: SetMetric, found: Sequence[Sequence[Path]], told: Callable[[str], None]) -> list[list[np.ndarray]]:
    """Embed every file of two sets."""

    def embedding(path: Path) -> np.ndarray:
        told(path.name)
        recording = files.read(path)
        return metric.embed(recording.samples, recording.sample_rate)

    return [[embedding(path) for path in paths] for paths in found]


def _compare(metric: SetMetric, embedded: Sequence[Sequence[np.ndarray]]) -> dict[str, Any]:
    """Compare two sets; the value is reported with the numbers of files and windows and the metric's description."""
    a, b = (np.concatenate(each) for each in embedded)
    return {
        "value": _value(metric.distance(a, b)),
        "files": [len(each) for each in embedded],
        "windows": [len(a), len(b)],
        **_described(metric),
    }
