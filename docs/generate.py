"""Write docs/reference/ from the code: python docs/generate.py. The test suite compares it with what is committed."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click

from diffmusic.cli import COMMANDS, cli
from diffmusic.cli.models_check import check
from diffmusic.parameters import parameters
from diffmusic.plugins import KINDS, Registry, registry

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
            if name == "models":
                parts.append(_help(check, "models check", root))
            continue
        assert isinstance(command, click.Group)
        context = click.Context(command, info_name=name, parent=root)
        for operator in _own().components("operator"):
            chosen = command.get_command(context, operator)
            assert chosen is not None
            parts.append(_help(chosen, operator, context))
    return f"# Command line\n\n{_MADE}" + "\n".join(parts)


def components() -> str:
    """The equation and the parameters of every component."""
    parts = [f"# Components\n\n{_MADE}Equations are in the frame `z_sigma = z_0 + sigma n`.\n"]
    for kind in KINDS:
        parts.append(f"## {kind.capitalize()}s\n")
        for name, spec in _own().components(kind).items():
            component = spec.load()
            parts.append(f"### {name}\n\n{spec.description[:1].upper()}{spec.description[1:]}.\n\n{_text(component)}")
            rows = parameters(component) if kind != "backbone" and isinstance(component, type) else []
            if rows:
                parts.append("| parameter | kind | default | |\n|---|---|---|---|")
                for row in rows:
                    default = "required" if row.required else "none" if row.default in (None, ()) else row.default
                    cells = (f"`{row.name}`", row.kind.replace("|", "\\|"), str(default), row.help)
                    parts.append(f"| {' | '.join(cells)} |")
                parts.append("")
    return "\n".join(parts)


PAGES = {"cli.md": commands, "components.md": components}


def main() -> None:
    for name, write in PAGES.items():
        (REFERENCE / name).write_text(write().rstrip() + "\n")


if __name__ == "__main__":
    main()
