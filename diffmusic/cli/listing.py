"""``diffmusic operators|solvers|metrics|embeddings|datasets [NAME]`` and ``diffmusic plugins``: what is installed."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Sequence
from typing import Any

import click

from diffmusic.plugins import KINDS, registry


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)] if rows else []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[-1]]).rstrip())


def show(kind: str, name: str) -> None:
    owner, spec = registry().locate(kind, name)
    component = spec.load()
    click.echo(f"{name}: {spec.description}  [{owner}]\n")
    # The target of a backbone is its loader, often a class method, whose class has the docstring.
    click.echo(inspect.getdoc(getattr(component, "__self__", component)) or "")
    if kind != "backbone" and isinstance(component, type):
        from diffmusic.parameters import parameters

        click.echo("\nParameters")
        rows: list[list[str]] = []
        for parameter in parameters(component):
            flag = _WRITTEN[kind].format(parameter.name if kind != "operator" else parameter.name.replace("_", "-"))
            default = "required" if parameter.required else f"[{_plain(parameter.default)}]"
            rows.append([f"  {flag}", parameter.kind, default, parameter.help])
        table(rows or [["  none"]])


_WRITTEN = {"operator": "--{}", "solver": "-s {}=", "metric": "{}=", "dataset": "{}="}
"""Flag of a parameter on the command line, by kind of component."""


def _plain(value: Any) -> str:
    return "none" if value in (None, ()) else str(value)


def _listing(kind: str, plural: str, summary: str) -> click.Command:
    @click.command(plural, help=summary)
    @click.argument("name", required=False)
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def command(name: str | None, as_json: bool) -> None:
        if name:
            show(kind, name)
            return
        components = registry().components(kind)
        if as_json:
            rows = [dataclasses.asdict(spec) | {"name": name, "tags": spec.words} for name, spec in components.items()]
            click.echo(json.dumps(rows))
            return
        owners = registry().owners(kind)
        table(
            [[name, ", ".join(spec.words), spec.description, f"[{owners[name]}]"] for name, spec in components.items()]
        )
        mention_broken()

    return command


def mention_broken() -> None:
    broken = sum(plugin.error is not None for plugin in registry().plugins)
    if broken:
        click.echo(f"{broken} broken plugin{'s' * (broken > 1)}: see diffmusic plugins", err=True)


operators = _listing("operator", "operators", "List the operators (what damaged the audio), or show one by NAME.")
solvers = _listing("solver", "solvers", "List the solvers (how it is inverted), or show one by NAME.")
metrics = _listing("metric", "metrics", "List the metrics (of pairs or of sets of recordings), or show one by NAME.")
embeddings = _listing("embedding", "embeddings", "List the embeddings (for metrics of sets), or show one by NAME.")
datasets = _listing("dataset", "datasets", "List the datasets, or show one by NAME.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plugins(as_json: bool) -> None:
    """List the installed plugins and what each offers; a broken one with its reason."""
    found = registry().plugins
    if as_json:
        rows = [
            {
                "distribution": p.distribution,
                "version": p.version,
                "entry_point": p.entry_point,
                "offers": {kind: [spec.name for spec in p.offers[kind]] for kind in KINDS if p.offers.get(kind)},
                "error": p.error,
            }
            for p in found
        ]
        click.echo(json.dumps(rows))
        return
    table([[p.distribution, p.version, p.entry_point, (p.error and f"BROKEN {p.error}") or _offers(p)] for p in found])


def _offers(plugin: Any) -> str:
    parts = [f"{kind}: {', '.join(spec.name for spec in specs)}" for kind, specs in plugin.offers.items() if specs]
    return "; ".join(parts) or "commands only"
