"""From what a user writes to a component: an operator, a solver, a metric or a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffmusic.errors import InputError
from diffmusic.parameters import build, row
from diffmusic.plugins import registry


def load_component(kind: str, line: str, parameters: Mapping[str, Any] | None = None) -> Any:
    """Load a component and build it with its parameters.

    Args:
        kind: operator, solver, metric or dataset.
        line: its name, and parameters for it if need be: ``"inpainting gap=4:5"``.
        parameters: more of them, as text or plain values.

    Raises:
        InputError: there is no such component or parameter, or a value is not one.
    """
    name, own = row(line)
    given, target = {**own, **(parameters or {})}, registry().load(kind, name)
    if isinstance(target, type):
        return build(target, given, f"{kind} {name!r}")
    if given:
        raise InputError(f"{kind} {name!r} has no parameters, and was given {', '.join(given)}")
    return target
