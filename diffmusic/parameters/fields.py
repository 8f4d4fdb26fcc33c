"""Parameters of a component, read from the fields of its dataclass."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BeforeValidator
from typing_extensions import Doc

from diffmusic.errors import InputError, reason
from diffmusic.parameters.types import WRITTEN

BOUND = ("sample_rate", "measured_rate", "offset", "access", "parts")
"""Fields that the core sets, never the user: the sample rates of the operator's audio and of its measurement, Hz; the
start of the excerpt in the recording, seconds; a metric's permissions for loading models (``diffmusic.models``); the
operators of a chain."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a component, as the command line needs it."""

    name: str
    default: Any
    help: str
    kind: str
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    whole: bool = False
    """Whether one text holds all of its values, which a validator of its own takes apart."""

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING


def _peel(annotation: Any) -> tuple[Any, list[Any]]:
    """An annotation without Annotated and ``| None``, and the metadata met on the way."""
    metadata: list[Any] = []
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            metadata += more
            continue
        options = [option for option in get_args(annotation) if option is not type(None)]
        if type(None) in get_args(annotation) and len(options) == 1:
            annotation = options[0]
            continue
        return annotation, metadata


def _describe(field: dataclasses.Field[Any], annotation: Any) -> Parameter:
    inner, metadata = _peel(annotation)
    help_text = next((item.documentation for item in metadata if isinstance(item, Doc)), "")
    repeatable = get_origin(inner) is tuple and get_args(inner)[1:] == (...,)
    whole = any(isinstance(item, BeforeValidator) for item in metadata)
    if repeatable:
        inner, more = _peel(get_args(inner)[0])
        metadata += more
    choices = tuple(map(str, get_args(inner))) if get_origin(inner) is Literal else ()
    written = [WRITTEN.get(item.func) for item in metadata if isinstance(item, BeforeValidator)]
    kind = next((each for each in written if each), "")
    if not kind:
        kind = "|".join(choices) or getattr(inner, "__name__", str(inner)).upper()
    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    return Parameter(field.name, default, help_text, kind, choices, repeatable, whole)


def parameters(component: type) -> list[Parameter]:
    """Return the parameters a user may set, in order; the fields in ``BOUND`` are left out.

    Raises InputError for what is no dataclass, or has annotations that cannot be read.
    """
    if not dataclasses.is_dataclass(component):
        raise InputError(f"{component.__module__}:{component.__qualname__} is no dataclass, as a component has to be")
    try:
        hints = get_type_hints(component, include_extras=True)
    except (NameError, TypeError) as error:
        raise InputError(f"the annotations of {component.__qualname__} cannot be read: {reason(error)}") from None
    return [
        _describe(field, hints[field.name])
        for field in dataclasses.fields(component)
        if field.init and field.name not in BOUND
    ]
