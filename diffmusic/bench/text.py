"""Result tables as Markdown: the values in one file, the wall times in another.

So an interrupted and resumed run gives the same table of values, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffmusic.bench.samples import SUFFIXES
from diffmusic.bench.table import Table

TITLES = {"part": "lsd of the part"}


def markdown(plan: Mapping[str, Any], made: Sequence[Table]) -> str:
    """Render all tables as Markdown, headed by the dataset, priors and metrics."""
    text = [f"# {plan['title']}", "", *([plan["about"].strip(), ""] if plan["about"] else []), *described(plan), ""]
    for table in made:
        text += [f"## {table.problem}", ""]
        raw = [name for name in table.raw if name in (f"{plan['metrics'][0]['name']} raw", "part raw")]
        columns = [*raw, *table.columns]
        head = ["row", *(["prior"] if table.several else []), *map(heading, columns), "network f/b", "decoder f/b"]
        head += [f"{name} (published)" for name in table.published]
        text += [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        for line in table.lines:
            cells = [line.title, *([line.backbone or "–"] if table.several else [])]
            cells += [str(line.values.get(name, "")) for name in columns]
            cells += [f"{line.costs[f'{part}_forward']:.0f} / {line.costs[f'{part}_backward']:.0f}"
                      for part in ("network", "decoder")]  # fmt: skip
            cells += [f"{line.published[name]:.4f}" if name in line.published else "" for name in table.published]
            text.append(f"| {' | '.join(cells)} |")
        failures = [(line, failure) for line in table.lines for failure in line.failures]
        if failures:
            text += ["", "Failed:", ""]
            text += [f"- {line.row}, {clip}, seed {seed}: {why}" for line, (clip, seed, why) in failures]
        text.append("")
    if plan["published"]:
        others = plan["published"]
        text += [f"Published: {others['source']}. {others['conditions']}".strip(), ""]
    return "\n".join(text)


def heading(column: str) -> str:
    """Title a column for readers."""
    more = next((word for word in (" raw", *SUFFIXES) if column.endswith(word)), "")
    name = column.removesuffix(more)
    return TITLES.get(name, name) + more


def described(plan: Mapping[str, Any]) -> list[str]:
    """List the dataset, priors and metrics that determine the numbers, as lines of Markdown."""
    clips = plan["clips"]
    length = f" of {clips['seconds']:g} s" if clips["seconds"] else ""
    rate = f" at {clips['rate']} Hz" if clips["rate"] else ""
    facts = [f"- {clips['count']} clips{length}{rate} of {plan['dataset']}, chosen by seed {clips['seed']}"]
    facts += [f"- prior {each['name']}, weights {each['sha256'][:12]}" for each in plan["models"]]
    for each in plan["metrics"]:
        more = [
            f"{key} {value[:12] if key == 'sha256' else value}"
            for key, value in each.items()
            if key not in ("name", "embeddings")
        ]
        facts += [f"- {each['name']}: {', '.join(more)}"] if more else []
    return facts


def times(plan: Mapping[str, Any], made: Sequence[Table], records: Mapping[str, dict[str, Any]]) -> str:
    """Render mean wall times, and the machines they were measured on, as Markdown."""
    text = [f"# {plan['title']}: seconds a clip", "", "| problem | row | prior | seconds |", "|---|---|---|---|"]
    for table in made:
        for line in table.lines:
            if line.seconds is not None:
                text.append(f"| {table.problem} | {line.title} | {line.backbone or '–'} | {line.seconds:.1f} |")
    facts = [
        (found["device"], found["threads"], tuple(found["versions"].items()))
        for found in records.values()
        if "device" in found
    ]
    for device, threads, versions in dict.fromkeys(facts):
        shown = ", ".join(f"{name} {version}" for name, version in versions)
        text += ["", f"{facts.count((device, threads, versions))} cells on {device} with {threads} threads; {shown}."]
    return "\n".join(text) + "\n"
