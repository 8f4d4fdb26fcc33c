"""Components and their parameters as text: ``diffmusic rate=2 repeats=3``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from diffmusic.errors import InputError

BAR = "|"
"""What stands between components of one line."""


def assignments(texts: Sequence[str]) -> dict[str, str | list[str]]:
    """``["rate=2", "gap=1:2", "gap=3:4"]`` as a mapping; the values of a repeated key become a list. Raises InputError
    for a text without ``=``."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"write KEY=VALUE, not {text!r}")
        found.setdefault(key.strip().replace("-", "_"), []).append(value)
    return {key: values if len(values) > 1 else values[0] for key, values in found.items()}


def row(text: str) -> tuple[str, dict[str, str | list[str]]]:
    """A component in one line, ``"diffmusic rate=2 repeats=3"``: its name and what is given of its parameters. Values
    with blanks are quoted as in a shell. Raises InputError for a line that is none."""
    first, *more = rows(text)
    if more:
        raise InputError(f"{text!r} names several components, where one belongs")
    return first


def rows(text: str) -> list[tuple[str, dict[str, str | list[str]]]]:
    """Components in one line, ``"resampling rate=16000 | clipping level=0.5"``, each as ``row`` has it."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=BAR)
    lexer.whitespace_split, lexer.commenters = True, ""
    groups: list[list[str]] = [[]]
    try:
        for word in lexer:
            if word == BAR:
                groups.append([])
            else:
                groups[-1].append(word)
    except ValueError as error:
        raise InputError(f"{text!r}: {error}") from None
    if not all(groups):
        raise InputError("the name of a component is missing")
    return [(name, assignments(words)) for name, *words in groups]
