"""Components built from the values of their parameters, and the values read back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from diffmusic.errors import InputError, suggestion
from diffmusic.parameters.fields import parameters

T = TypeVar("T")


def build(component: type[T], given: Mapping[str, Any], what: str) -> T:
    """Make a component from text or JSON values. Raises InputError naming the parameter that is wrong.

    ``what`` names the component in the message, such as ``"solver 'diffmusic'"``.
    """
    known = {parameter.name: parameter for parameter in parameters(component)}
    for name in given:
        if name not in known:
            raise InputError(f"{what} has no parameter {name!r}.{suggestion(name, known)}")
    # One text stands for a list of one, where the parameter may be repeated.
    values = {
        name: [value] if known[name].repeatable and not known[name].whole and isinstance(value, str) else value
        for name, value in given.items()
    }
    try:
        return TypeAdapter(component).validate_python(values)
    except ValidationError as error:
        where, message = _first(error)
        raise InputError(f"{what}{': ' + where if where else ''}: {message}") from None


def checked(job: T) -> T:
    """A job, a dataclass, whose values are of their types and within their limits. Raises InputError naming the
    first that is not."""
    try:
        return TypeAdapter(type(job)).validate_python({name: getattr(job, name) for name in job.__dataclass_fields__})  # type: ignore[attr-defined]
    except ValidationError as error:
        where, message = _first(error)
        raise InputError(f"`{where}`: {message}") from None


def _first(error: ValidationError) -> tuple[str, str]:
    """The parameter that the first of pydantic's errors is about, and what is wrong with it."""
    first = error.errors()[0]
    where = str(first["loc"][0]) if first["loc"] else ""
    message = first["msg"].removeprefix("Value error, ")
    got = "" if not where or first["type"] == "missing" else f" (got {first['input']!r})"
    return where, f"{message[:1].lower()}{message[1:]}{got}"


def values(component: Any) -> dict[str, Any]:
    """The parameters of a component as JSON values, as written to a run record; ``build`` takes them back."""
    return {
        parameter.name: to_jsonable_python(getattr(component, parameter.name))
        for parameter in parameters(type(component))
    }


def bind(component: T, **context: Any) -> T:
    """A copy whose ``BOUND`` fields, where it has them, are these."""
    if not dataclasses.is_dataclass(component):
        return component
    names = {field.name for field in dataclasses.fields(component)}
    fitting = {name: value for name, value in context.items() if name in names}
    return dataclasses.replace(component, **fitting) if fitting else component  # type: ignore[type-var]
