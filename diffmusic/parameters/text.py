"""Components and their parameters as text: ``diffmusic rate=2 repeats=3``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from diffmusic.errors import InputError


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
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{text!r}: {error}") from None
    if not words:
        raise InputError("the name of a component is missing")
    return words[0], assignments(words[1:])
