"""Results as one self-contained HTML page: sortable tables, and the audio that was kept."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import soundfile

from diffmusic.bench.named import Named
from diffmusic.bench.plan import REFERENCES
from diffmusic.bench.store import Store
from diffmusic.bench.table import Line, Table
from diffmusic.bench.text import described, heading
from diffmusic.plugins import registry
from diffmusic.reports import spectrograms as plot

TEMPLATE = Path(__file__).with_name("page.html")
CELL = {"kind": "", "sort": None, "text": "", "more": ""}


def page(plan: Mapping[str, Any], tables: Sequence[Table], store: Store) -> bytes:
    """Render the page as HTML that embeds its audio and pictures and makes no network request."""
    from jinja2 import Environment, StrictUndefined

    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    sections = [_section(plan, table, store) for table in tables]
    return template.render(plan=plan, facts=[fact[2:] for fact in described(plan)], sections=sections).encode()


def _section(plan: Mapping[str, Any], table: Table, store: Store) -> dict[str, Any]:
    columns: list[tuple[str, str]] = [(name, "") for name in table.columns]
    columns = [
        each for name, _ in columns for each in [(f"{name} raw", "raw")] * (f"{name} raw" in table.raw) + [(name, "")]
    ]
    head = [{"title": "row", "kind": ""}, *([{"title": "prior", "kind": ""}] if table.several else [])]
    head += [{"title": heading(name), "kind": kind} for name, kind in columns]
    head += [{"title": title, "kind": ""} for title in ("network f/b", "decoder f/b", "seconds")]
    head += [{"title": f"{name}, published", "kind": "published"} for name in table.published]
    best = {name: _best(name, [line for line in table.lines if not _reference(line)]) for name, _ in columns}
    parts = []
    for reference in (True, False):
        lines = [line for line in table.lines if _reference(line) == reference]
        if lines:
            rows = [list(_cells(table, line, columns, best)) for line in lines]
            parts.append({"reference": reference, "rows": rows})
    failures = [f"{line.row}, {clip}, seed {seed}: {why}" for line in table.lines for clip, seed, why in line.failures]
    clips = list(_clips(plan, table.problem, store))
    return {"problem": table.problem, "columns": head, "parts": parts, "failures": failures, "clips": clips}


def _reference(line: Line) -> bool:
    return line.row in REFERENCES


def _cells(
    table: Table, line: Line, columns: Sequence[tuple[str, str]], best: Mapping[str, float | None]
) -> Iterator[dict[str, Any]]:
    yield CELL | {"sort": line.row, "text": line.title}
    if table.several:
        yield CELL | {"sort": line.backbone, "text": line.backbone or "–"}
    for name, kind in columns:
        value = line.values.get(name)
        if value is None:
            yield CELL | {"kind": kind}
            continue
        won = not _reference(line) and best[name] is not None and abs(value.mean - (best[name] or 0)) < 5e-4
        error = f"±{value.error:.3f}" if value.error else ""
        yield {"kind": f"{kind} best" if won else kind, "sort": value.mean, "text": f"{value.mean:.3f}", "more": error}
    for part in ("network", "decoder"):
        spent = [line.costs[f"{part}_{way}"] for way in ("forward", "backward")]
        yield CELL | {"sort": sum(spent), "text": " / ".join(f"{each:.0f}" for each in spent)}
    yield CELL | ({} if line.seconds is None else {"sort": line.seconds, "text": f"{line.seconds:.1f}"})
    for name in table.published:
        value_ = line.published.get(name)
        yield CELL | {"kind": "published"} | ({} if value_ is None else {"sort": value_, "text": f"{value_:.4f}"})


def _best(column: str, lines: Sequence[Line]) -> float | None:
    """Return the best mean of a column; None if its better direction is unknown or there is nothing to compare."""
    means = [line.values[column].mean for line in lines if column in line.values]
    if len(means) < 2:
        return None
    name = Named.parse(column.removesuffix(" raw")).name
    higher = False if name in ("part", "misfit") else registry().find("metric", name).higher_is_better
    return None if higher is None else max(means) if higher else min(means)


def _clips(plan: Mapping[str, Any], problem: str, store: Store) -> Iterator[dict[str, Any]]:
    """Yield the kept audio of each clip: the truth first, then the measurement, then the rows."""
    cells = [each for each in plan["cells"] if each["problem"] == problem]
    for clip in dict.fromkeys(each["clip"] for each in cells):
        titled = []
        for each in cells:
            if each["clip"] == clip:
                prior = f", {each['backbone']}" if each["backbone"] and len(plan["models"]) > 1 else ""
                for name, path in store.sounds(each["key"]).items():
                    titled.append((_title(name, f"{each['row']}{prior}"), path))
        if titled:
            read = [(title, path, *soundfile.read(path, always_2d=True)) for title, path in titled]
            top = plot.thumbnail(read[0][2].T, read[0][3])[1]
            yield {
                "name": clip,
                "sounds": [
                    {
                        "title": title,
                        "audio": _data("audio/flac", path.read_bytes()),
                        "picture": _data("image/png", plot.thumbnail(samples.T, rate, top)[0]),
                    }
                    for title, path, samples, rate in read
                ],
            }


def _title(sound: str, row: str) -> str:
    """Title a row's audio (``estimate-2``) for readers."""
    kind, _, source = sound.partition("-")
    return {"estimate": row}.get(kind, kind) + (f", source {source}" if source else "")


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
