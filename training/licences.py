"""Licences of installed files, read from the stanzas of a Debian package's copyright file (DEP-5)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from debian.copyright import Copyright, FilesParagraph, NotMachineReadableError, globs_to_re

# The tiers that weights may learn from; a choice of licences counts by its most open one.
OPEN = (
    ("CC0", re.compile(r"CC0", re.IGNORECASE)),
    ("public domain", re.compile(r"public[- ]domain", re.IGNORECASE)),
    ("BSD or MIT", re.compile(r"\b(BSD|MIT|Expat)\b", re.IGNORECASE)),
    ("CC-BY", re.compile(r"CC-BY-[0-9]", re.IGNORECASE)),
    ("CC-BY-SA", re.compile(r"CC-BY-SA", re.IGNORECASE)),
)


@dataclass(frozen=True)
class Stanza:
    """What a copyright file says of a file: its licence's short name, the holders, and the pattern that matched."""

    licence: str
    author: str
    pattern: str


def tier(licence: str) -> str | None:
    """The tier of a licence's short name, or None: not commercial, no derivatives, GPL only, or unknown.

    "or" leaves a choice, "and" does not: what it joins has to be open, all of it; the least open one counts.
    """
    if re.search(r"-(NC|ND)\b", licence, re.IGNORECASE):
        return None
    names = [name for name, _ in OPEN]
    found = [
        next((name for name, pattern in OPEN if pattern.search(part)), None)
        for part in re.split(r"\s+and\s+", licence, flags=re.IGNORECASE)
    ]
    return None if None in found else max((name for name in found if name), key=names.index)


def stanza_of(copyright_file: Path, installed: str) -> Stanza | None:
    """The stanza that covers an installed file; None if there is none, or the file has no stanzas.

    Patterns name upstream's paths, and a package installs them elsewhere: one may match any end of the installed
    path, and folders at its own beginning may be missing there. As in DEP-5 the last match counts; but a pattern that
    matches short of its first folders counts before one of everything.
    """
    whole = shortened = None
    for paragraph, patterns in _paragraphs(copyright_file):
        for pattern in patterns:
            if _matches(pattern, installed):
                whole = _stanza(paragraph, pattern)
                break
            if any(_matches(tail, installed) for tail in _tails(pattern)):
                shortened = _stanza(paragraph, pattern)
                break
    return shortened if shortened and (whole is None or whole.pattern == "*") else whole


@cache
def _paragraphs(copyright_file: Path) -> list[tuple[FilesParagraph, tuple[str, ...]]]:
    """The stanzas with their patterns; none of a file in prose."""
    with copyright_file.open(encoding="utf-8", errors="replace") as file:
        try:
            return [(each, tuple(each.files)) for each in Copyright(file, strict=False).all_files_paragraphs()]
        except (NotMachineReadableError, ValueError):
            return []


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return globs_to_re([pattern])


def _matches(pattern: str, installed: str) -> bool:
    parts, match = PurePosixPath(installed).parts, _expression(pattern).match
    return any(match("/".join(parts[k:])) for k in range(len(parts)))


def _tails(pattern: str) -> Iterator[str]:
    """The pattern without its first folders, as long as it begins with a name."""
    parts = pattern.removeprefix("./").split("/")
    for k in range(len(parts)):
        tail = "/".join(parts[k:])
        if len(tail) > len("*.ogg") - 1 and not tail.startswith("*"):
            yield tail


def _stanza(paragraph: Any, pattern: str) -> Stanza:
    lines = re.sub(r"\s*<[^<>]*@[^<>]*>", "", paragraph.copyright or "").splitlines()
    holders = [" ".join(line.split()) for line in lines if line.strip()]
    licence = paragraph.license.synopsis if paragraph.license else ""
    return Stanza(licence, " / ".join(holders), pattern)
