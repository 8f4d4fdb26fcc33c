"""From what a user writes to a component: an operator, a solver, a metric or a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffmusic.errors import InputError
from diffmusic.parameters import build, rows
from diffmusic.plugins import registry
from diffmusic.problem.chain import chain


def load_component(kind: str, line: str, parameters: Mapping[str, Any] | None = None) -> Any:
    """Load a component and build it with its parameters.

    Args:
        kind: operator, solver, metric or dataset.
        line: its name, and parameters for it if need be: ``"inpainting gap=4:5"``. Operators that followed each other
            are separated by bars: ``"resampling | clipping level=0.5"`` (``diffmusic.problem.chain``).
        parameters: more of them, as text or plain values.

    Raises:
        InputError: there is no such component or parameter, or a value is not one.
    """
    found = rows(line)
    if len(found) == 1:
        name, own = found[0]
        return _built(kind, name, {**own, **(parameters or {})})
    if kind != "operator":
        raise InputError(f"{line!r} names several components; operators alone make a chain")
    if parameters:
        raise InputError(f"{', '.join(parameters)}: of which operator? Write it behind the name in {line!r}")
    return chain(*(_built(kind, *each) for each in found))


def _built(kind: str, name: str, given: Mapping[str, Any]) -> Any:
    target = registry().load(kind, name)
    if isinstance(target, type):
        return build(target, given, f"{kind} {name!r}")
    if given:
        raise InputError(f"{kind} {name!r} has no parameters, and was given {', '.join(given)}")
    return target
