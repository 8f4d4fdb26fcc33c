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
        "directions", "amount", "steps", "seed", "samples", "device",
    ),
    "explore": ("source", "components", "strength", "segment", "steps", "seed", "model", "device"),
}  # fmt: skip
"""Flags that the page may set, in the order in which they are written."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def words(form: Mapping[str, Any], path: str, parameters: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """Write a form as the words behind ``diffmusic``.

    Args:
        form: ``task`` ("solve", "edit" or "explore"), ``operator``, its ``parameters``, the ``flags``, and the
            ``settings`` of the solver; each a mapping from names to text, a truth value, or a list of texts. ``then``
            is a list of ``operator`` and ``parameters`` that happened after: a chain.
        path: The recording.
        parameters: Parameters of each operator.

    Raises:
        InputError: The form names something that the page may not set.
    """
    task = form.get("task")
    if task not in FLAGS:
        raise InputError("say what to do: solve, edit or explore")
    out = [str(task)]
    given: Mapping[str, Any] = {}
    if task == "solve":
        chain = [_operator(form, parameters or {}), *(_operator(each, parameters or {}) for each in _then(form))]
        if len(chain) > 1:
            out.append(" | ".join(_row(name, values) for name, values in chain))
        else:
            name, given = chain[0]
            out.append(name)
    out.append(path)
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


def _then(form: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    after = form.get("then") or []
    if not isinstance(after, list) or not all(isinstance(each, Mapping) for each in after):
        raise InputError("then is not a list of operators")
    return after


def _operator(form: Mapping[str, Any], known: Mapping[str, Sequence[str]]) -> tuple[str, Mapping[str, Any]]:
    name, given = _name(form.get("operator", ""), r"[A-Za-z0-9][\w.:-]*"), _mapping(form, "parameters")
    for parameter in given:
        if parameter not in known.get(name, ()):
            raise InputError(f"operator {name} has no parameter {parameter!r}")
    return name, given


def _row(name: str, given: Mapping[str, Any]) -> str:
    """An operator in a chain, with its parameters as one types them there."""
    words = [name]
    for parameter, value in given.items():
        for each in value if isinstance(value, list) else [value]:
            text = str(each).lower() if isinstance(each, bool) else _text(each)
            words.append(shlex.quote(f"{parameter}={text}"))
    return " ".join(words)


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
