"""A component's parameters are its dataclass fields: their types, limits, help and defaults come from there.

Example: ``low: Annotated[float, Field(gt=0), Doc("lower edge, Hz")] = 300.0``. Validation is pydantic's.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python
from typing_extensions import Doc

from diffmusic.errors import InputError, reason, suggestion

__all__ = [
    "BOUND", "SPAN", "Amount", "Count", "Doc", "Field", "Parameter", "Positive", "Rectangle", "Seed", "Span",
    "assignments", "bind", "build", "checked", "parameters", "row", "seconds", "span", "values",
]  # fmt: skip

BOUND = ("sample_rate", "measured_rate", "offset", "access")
"""Fields that the core sets, never the user: the rate in Hz of the audio that the operator is applied to, that of what
it measures, the time in seconds at which the excerpt begins within the whole recording, and how the models of a metric
may be had (``diffmusic.models.Access``)."""

T = TypeVar("T")
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""What several jobs have: a number of things, one at least; a seed; a weight or a length; one that is not nothing."""


SPAN = "write START:END in seconds, such as 2.0:3.0 (or 1:02.5-1:03, 2.0+LENGTH, or samples, 88200s:132300s)"


class _Unclear(ValueError):
    """A time that is written well and means none."""


def seconds(text: str, rate: int | None = None) -> float:
    """A time in seconds: ``12.5``, ``m:ss.s``, ``h:mm:ss.s``, or samples, ``441000s``, at ``rate`` Hz.

    Raises ValueError for anything else, and for samples where no rate is known.
    """
    text = text.strip()
    if text.endswith("s"):
        if rate is None:
            raise _Unclear(f"{text}: how long a sample lasts is not known here: give seconds")
        return int(text[:-1]) / rate
    *units, last = text.split(":")
    if len(units) > 2 or any(not unit.isdigit() for unit in units) or (units and not last[:1].isdigit()):
        raise ValueError(SPAN)
    total = float(last)
    if units and (total >= 60 or any(int(unit) >= 60 for unit in units[1:])):
        raise _Unclear(f"{text}: a minute has 60 seconds, an hour 60 minutes")
    for unit, size in zip(reversed(units), (60, 3600), strict=False):
        total += int(unit) * size
    return total


def span(text: str, rate: int | None = None) -> tuple[float, float]:
    """A stretch of time in seconds: ``START:END``, ``START-END`` or ``START+LENGTH``, each as ``seconds`` takes it.

    Raises ValueError for anything else, such as ``1:02:1:03:1``, of which nobody knows where it is to be parted.
    """
    text = text.strip()
    try:
        for sign in "+-":
            place = text.find(sign, 1)
            if place > 0 and text[place - 1] not in "eE":
                start, other = seconds(text[:place], rate), seconds(text[place + 1 :], rate)
                return start, start + other if sign == "+" else other
        fields = text.split(":")
        half = len(fields) // 2
        if len(fields) in (2, 4, 6):
            return seconds(":".join(fields[:half]), rate), seconds(":".join(fields[half:]), rate)
    except _Unclear:
        raise
    except ValueError:
        pass
    raise ValueError(SPAN)


def _parse_span(value: Any) -> Any:
    return span(value) if isinstance(value, str) else value


Span = Annotated[tuple[float, float], BeforeValidator(_parse_span)]
"""A stretch of time ``(start, end)`` in seconds, written as ``span`` takes it on the command line."""


_BAND = re.compile(r"([^:k]+)(k?)(?:hz)?:([^:k]+)(k?)(?:hz)?", re.IGNORECASE)


def _parse_rectangle(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    time, _, band = value.partition("@")
    found = _BAND.fullmatch(band.strip())
    try:
        if not found:
            raise ValueError
        low, high = (float(found[n]) * (1000 if found[n + 1] else 1) for n in (1, 3))
        return *span(time), low, high
    except ValueError:
        raise ValueError("write START:END@LOW:HIGH in seconds and Hz (or k), such as 2.0:3.0@1k:4k") from None


Rectangle = Annotated[tuple[float, float, float, float], BeforeValidator(_parse_rectangle)]
"""A rectangle of the spectrogram ``(start, end, low, high)`` in seconds and Hz, written ``START:END@LOW:HIGH``."""

_WRITTEN: dict[Any, str] = {_parse_span: "START:END", _parse_rectangle: "START:END@LOW:HIGH"}
"""How a value that is parsed here is shown on the command line."""


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
    written = [_WRITTEN.get(item.func) for item in metadata if isinstance(item, BeforeValidator)]
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
