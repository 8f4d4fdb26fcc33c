"""Errors, and how they are worded for a person."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DiffmusicError(Exception):
    """Base of every error whose message is meant for the user; the command line prints it as one line."""


class InputError(DiffmusicError, ValueError):
    """Request that cannot be carried out as it stands; the message says what would be right. Exit code 2."""


class Diverged(DiffmusicError, RuntimeError):
    """Iteration that left the finite numbers. Nothing is written. Exit code 1."""


def reason(error: BaseException) -> str:
    """The error as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def suggestion(word: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"``, or the known words when none is near."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" Known: {', '.join(known)}." if known else ""
