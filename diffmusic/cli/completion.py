"""Completion in a shell: names are listed without loading what they name.

Click looks for the parameter that a word belongs to, and so loads the command, the operator and PyTorch at every key.
What a word can be is known before that wherever it is a name or a file; flags alone are left to click.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

from diffmusic.plugins import KINDS, registry

LISTINGS = {f"{kind}s": kind for kind in KINDS} | {"models": "backbone"}
MAKING = ("solve", "detect", "edit", "explore", "fuse", "reconstruct", "evaluate")
"""Commands whose words are files, but for flags and their values."""


def known(args: Sequence[str], incomplete: str) -> list[CompletionItem[str]] | None:
    """Complete a name or a file.

    Args:
        args: The words before it, without the name of the program.
        incomplete: What is typed of it.

    Returns:
        What it can be; None where click has to say.
    """
    if not args or incomplete.startswith("-"):
        return None
    command, last = args[0], args[-1]
    if last == "--solver":
        return _named("solver", incomplete, editor=command != "solve")
    if last == "--model":
        return _named("backbone", incomplete)
    if len(args) == 1 and command in LISTINGS:
        return _named(LISTINGS[command], incomplete)
    if len(args) == 1 and command == "check":
        return [item for kind in ("operator", "solver", "backbone", "metric") for item in _named(kind, incomplete)]
    if command in MAKING and len(args) > (command == "solve"):
        return [CompletionItem(incomplete, type="file")]
    return None


def _named(kind: str, incomplete: str, editor: bool | None = None) -> list[CompletionItem[str]]:
    found = registry().components(kind).items()
    return items(
        ((name, spec.summary) for name, spec in found if editor is None or (spec.role == "editor") == editor),
        incomplete,
    )


def items(rows: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem[str]]:
    """Names with their summaries, as far as they begin with what is typed."""
    return [CompletionItem(name, help=summary) for name, summary in rows if name.startswith(incomplete)]


class _Known(ShellComplete):
    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        found = known(args, incomplete)
        return super().get_completions(args, incomplete) if found is None else found


class _Bash(_Known, BashComplete):
    pass


class _Zsh(_Known, ZshComplete):
    pass


class _Fish(_Known, FishComplete):
    pass


def install() -> None:
    """Let click complete by ``known`` first."""
    for each in (_Bash, _Zsh, _Fish):
        add_completion_class(each)
