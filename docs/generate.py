"""Write docs/reference/ from the code: python docs/generate.py. The test suite compares it with what is committed."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click

from diffmusic.cli import COMMANDS, cli
from diffmusic.datasets.contract import Clip, Dataset
from diffmusic.metrics.contract import PairMetric, SetMetric
from diffmusic.metrics.embeddings import Embedding
from diffmusic.parameters import parameters
from diffmusic.plugins import KINDS, Hooks, Plugin, Registry, Spec, registry
from diffmusic.prior import Backbone
from diffmusic.problem import Operator
from diffmusic.solver import DirectSolver, Solver

REFERENCE = Path(__file__).parent / "reference"
_MADE = "<!-- Written by docs/generate.py. -->\n\n"


def _own() -> Registry:
    """What this distribution offers, whatever else is installed."""
    return Registry(plugin for plugin in registry().plugins if plugin.distribution == "diffmusic")


def _text(thing: Any) -> str:
    return f"```text\n{inspect.cleandoc(thing.__doc__ or '')}\n```\n"


def _help(command: click.Command, words: str, parent: click.Context | None = None) -> str:
    context = click.Context(command, info_name=words, parent=parent, terminal_width=100, max_content_width=100)
    return f"## {context.command_path}\n\n```text\n{context.get_help()}\n```\n"


def commands() -> str:
    """Every command's help."""
    root = click.Context(cli, info_name="diffmusic", **cli.context_settings)
    parts = []
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None
        if name != "solve":
            parts.append(_help(command, name, root))
            continue
        assert isinstance(command, click.Group)
        context = click.Context(command, info_name=name, parent=root)
        for operator in _own().components("operator"):
            chosen = command.get_command(context, operator)
            assert chosen is not None
            parts.append(_help(chosen, operator, context))
    return f"# Command line\n\n{_MADE}" + "\n".join(parts)


def hooks() -> str:
    """Every hook of a plugin, and what its components are held to."""
    intro = "A plugin is a module that implements any of these, named by an entry point in the group `diffmusic`."
    parts = [f"# Hooks\n\n{_MADE}{intro} Each is decorated with `diffmusic.hookimpl`.\n"]
    for name, hook in vars(Hooks).items():
        if name.startswith("diffmusic_"):
            signature = ", ".join(list(inspect.signature(hook).parameters)[1:])
            parts.append(f"## {name}({signature})\n\n{inspect.getdoc(hook)}\n")
    parts.append(f"## diffmusic.Spec\n\n{_text(Spec)}")
    for title, contract in (("An operator", Operator), ("A solver", Solver), ("A solver without a prior", DirectSolver),
                            ("A backbone", Backbone), ("A metric of pairs", PairMetric),
                            ("A metric of sets", SetMetric), ("An embedding", Embedding), ("A dataset", Dataset),
                            ("A clip", Clip)):  # fmt: skip
        parts.append(f"## {title}\n\n{_text(contract)}")
        for name, member in vars(contract).items():
            if (not name.startswith("_") or name == "__call__") and (getattr(member, "__doc__", None) or "").strip():
                parts.append(f"- `{name}`: {' '.join((member.__doc__ or '').split())}")
        parts.append("")
    parts.append("## What an installed plugin looks like to diffmusic\n\n" + _text(Plugin))
    return "\n".join(parts)


def components() -> str:
    """The equation and the parameters of every component."""
    parts = [f"# Components\n\n{_MADE}Equations are in the frame `z_sigma = z_0 + sigma n`.\n"]
    for kind in KINDS:
        parts.append(f"## {kind.capitalize()}s\n")
        for name, spec in _own().components(kind).items():
            component = spec.load()
            parts.append(f"### {name}\n\n{spec.summary[:1].upper()}{spec.summary[1:]}.\n\n{_text(component)}")
            rows = parameters(component) if kind != "backbone" and isinstance(component, type) else []
            if rows:
                parts.append("| parameter | kind | default | |\n|---|---|---|---|")
                for row in rows:
                    default = "required" if row.required else "none" if row.default in (None, ()) else row.default
                    cells = (f"`{row.name}`", row.kind.replace("|", "\\|"), str(default), row.help)
                    parts.append(f"| {' | '.join(cells)} |")
                parts.append("")
    return "\n".join(parts)


PAGES = {"cli.md": commands, "hooks.md": hooks, "components.md": components}


def main() -> None:
    for name, write in PAGES.items():
        (REFERENCE / name).write_text(write().rstrip() + "\n")


if __name__ == "__main__":
    main()
