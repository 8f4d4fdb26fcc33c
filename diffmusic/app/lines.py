"""The command line of what the page's form says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from diffmusic.errors import InputError
from diffmusic.plugins import FILES

FLAGS = {
    "solve": (
        "solver", "model", "prompt", "negative_prompt", "guidance", "steps", "seed", "samples", "noise_std", "device",
    ),
    "edit": (
        "target", "source", "negative_prompt", "segment", "strength", "solver", "model", "guidance", "source_guidance",
        "steps", "seed", "samples", "device",
    ),
}  # fmt: skip
"""Flags that the page may set, in the order in which they are written."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def words(form: Mapping[str, Any], path: str, parameters: Sequence[str] = ()) -> list[str]:
    """Write a form as the words behind ``diffmusic``.

    Args:
        form: ``task`` ("solve" or "edit"), ``operator``, its ``parameters``, the ``flags``, and the ``settings`` of
            the solver; each a mapping from names to text, a truth value, or a list of texts.
        path: The recording.
        parameters: Parameters that the operator has.

    Raises:
        InputError: The form names something that the page may not set.
    """
    task = form.get("task")
    if task not in FLAGS:
        raise InputError("say what to do: solve or edit")
    out = [str(task)]
    if task == "solve":
        out.append(_name(form.get("operator", ""), r"[A-Za-z0-9][\w.:-]*"))
    out.append(path)
    given = _mapping(form, "parameters") if task == "solve" else {}
    for name in given:
        if name not in parameters:
            raise InputError(f"operator {form.get('operator')} has no parameter {name!r}")
    flags = _mapping(form, "flags")
    for name in flags:
        if name not in FLAGS[task]:
            raise InputError(f"the page sets no flag {name!r}")
    for name, value in (*given.items(), *((name, flags[name]) for name in FLAGS[task] if name in flags)):
        out += _flag(name, value)
    for name, value in _mapping(form, "settings").items():
        if not _NAME.fullmatch(name):
            raise InputError(f"{name!r} is no name of a parameter")
        out += ["-s", f"{name}={_text(value)}"]
    return out


def line(argv: Sequence[str]) -> str:
    """Write words as a line to paste into a shell, with the single-file plugins that offer what it names."""
    named = {word.rpartition(":")[2] for word in argv}
    plugins: list[str] = []
    for path, plugin in FILES.items():
        if named & {spec.name for specs in plugin.offers.values() for spec in specs}:
            plugins += ["--plugin", str(path)]
    return shlex.join(["diffmusic", *plugins, *argv])


def _flag(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    out: list[str] = []
    for each in value if isinstance(value, list) else [value]:
        text = _text(each)
        # A value that begins with a dash would be taken for a flag.
        out += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    return out


def _mapping(form: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = form.get(name) or {}
    if not isinstance(value, Mapping):
        raise InputError(f"{name} is not a mapping")
    return value


def _name(value: Any, pattern: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise InputError("choose what happened to the recording")
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"{value!r} is no text")
    return str(value)
