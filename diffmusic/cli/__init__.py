"""Command line. Commands are imported when they are called, so that help and listings stay fast."""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

import diffmusic
from diffmusic.cli.messages import flagged
from diffmusic.cli.terminal import note
from diffmusic.errors import DiffmusicError, InputError, suggestion
from diffmusic.plugins import Registry, add_file, registry

_COMPLETING = "_DIFFMUSIC_COMPLETE"
"""Variable by which a shell asks click for completions."""

COMMANDS = {
    "solve": ("diffmusic.cli.solve:solve", "Restore a recording: invert what damaged it."),
    "detect": ("diffmusic.cli.detect:command", "Find dropouts, clicks, skips, clipping and a missing upper band."),
    "edit": ("diffmusic.cli.edit:edit", "Change a recording, by text, all of it or in segments."),
    "explore": ("diffmusic.cli.explore:explore", "Find directions in which a recording could change."),
    "fuse": ("diffmusic.cli.fuse:fuse", "Fuse a sound with a reference."),
    "reconstruct": ("diffmusic.cli.reconstruct:reconstruct", "See what a latent put in at a noise level leads to."),
    "bench": ("diffmusic.cli.bench:bench", "Run a suite of clips, problems and solvers, and make its tables."),
    "evaluate": ("diffmusic.cli.evaluate:command", "Measure recordings against references."),
    "app": ("diffmusic.app.command:app", "Look, listen, mark and restore, on a page in the browser."),
    "operators": ("diffmusic.cli.listing:operators", "List the operators, or show one."),
    "solvers": ("diffmusic.cli.listing:solvers", "List the solvers, or show one."),
    "models": ("diffmusic.cli.models:models", "List the backbones and their weights, show or download one."),
    "metrics": ("diffmusic.cli.listing:metrics", "List the metrics, or show one."),
    "embeddings": ("diffmusic.cli.listing:embeddings", "List the embeddings of metrics of sets, or show one."),
    "datasets": ("diffmusic.cli.listing:datasets", "List the datasets, or show one."),
    "plugins": ("diffmusic.cli.listing:plugins", "List the installed plugins, broken ones too."),
    "new": ("diffmusic.cli.new:new", "Write a plugin to begin from."),
    "check": ("diffmusic.cli.check:check", "Run the contract tests on a component."),
    "doctor": ("diffmusic.cli.doctor:doctor", "Look at this installation and say what is wrong with it."),
}


class LazyGroup(click.Group):
    """Group that lists commands from a table and imports one when it is called; plugins may add more."""

    _added: Registry | None = None

    def _add_commands(self) -> None:
        """Ask the plugins once, and again when there are others."""
        if self._added is not registry():
            self._added, self.commands = registry(), {}
            registry().add_commands(self)

    def list_commands(self, ctx: click.Context) -> list[str]:
        self._add_commands()
        return [*COMMANDS, *sorted(self.commands)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            module, _, attribute = COMMANDS[name][0].partition(":")
            command: click.Command = getattr(import_module(module), attribute)
            return command
        self._add_commands()
        return self.commands.get(name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise InputError(f"unknown command {args[0]!r}.{suggestion(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def _rows(self, ctx: click.Context) -> list[tuple[str, str]]:
        rows = [(name, summary) for name, (_, summary) in COMMANDS.items()]
        extra = [name for name in self.list_commands(ctx) if name not in COMMANDS]
        return rows + [(name, self.commands[name].get_short_help_str()) for name in extra]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self._rows(ctx))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        from diffmusic.cli.completion import items

        return items(self._rows(ctx), incomplete) + click.Command.shell_complete(self, ctx, incomplete)


def _add_files(_context: click.Context, _option: click.Parameter, paths: tuple[Path, ...]) -> None:
    for path in paths:
        add_file(path)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(diffmusic.__version__, prog_name="diffmusic")
@click.option(
    "--plugin", multiple=True, is_eager=True, expose_value=False, metavar="FILE.py", type=click.Path(path_type=Path),
    callback=_add_files,
    help="Add the components of a file that is not installed; may be repeated, and stand anywhere.",
)  # fmt: skip
def cli() -> None:
    """Restore damaged music with pretrained diffusion priors, and no training.

    \b
    diffmusic solve inpainting song.flac --gap 12.0:12.8 -o restored.flac
    """


def main(argv: list[str] | None = None) -> None:
    """Run the command line: one line on stderr and exit code 2 for bad input, 1 for a run that failed."""
    warnings.showwarning = note
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need be in no encoding
            stream.reconfigure(errors="surrogateescape")
    if _COMPLETING in os.environ:
        from diffmusic.cli import completion

        completion.install()
    sys.exit(_run(argv))


def _plugins_first(argv: list[str]) -> list[str]:
    """Move every ``--plugin`` to the front of the words, because commands and flags depend on them."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--plugin":
            value = next(words, None)
            if value is None or not value.endswith(".py"):
                raise InputError("--plugin takes a file, FILE.py" + (f", and got {value!r}" if value else ""))
            front += [word, value]
        else:
            (front if word.startswith("--plugin=") else rest).append(word)
    return front + rest


def _run(argv: list[str] | None) -> int:
    try:
        code = cli.main(
            _plugins_first(sys.argv[1:] if argv is None else argv), prog_name="diffmusic", standalone_mode=False
        )
        return code if isinstance(code, int) else 0
    except DiffmusicError as error:
        click.echo(f"error: {flagged(error)}", err=True)
        return 2 if isinstance(error, InputError) else 1
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        message = " ".join(error.format_message().split())
        context = getattr(error, "ctx", None)
        more = f" See {context.command_path} --help." if context else ""
        click.echo(f"error: {message}{more}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt) as error:
        # click makes one of the other; what is written already is said by whoever was interrupted.
        told = str(error.__cause__ or error) or "nothing was written"
        click.echo(f"stopped; {told}", err=True)
        return 130
    except (MemoryError, RuntimeError) as error:
        # An out-of-memory error of torch is a RuntimeError with that text.
        if not isinstance(error, MemoryError) and not re.search("out of memory|allocate memory", str(error)):
            raise
        click.echo("error: not enough memory", err=True)
        return 1
