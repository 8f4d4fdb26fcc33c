"""A component's parameters are its dataclass fields: their types, limits, help and defaults come from there.

Example: ``low: Annotated[float, Field(gt=0), Doc("lower edge, Hz")] = 300.0``. Validation is pydantic's.
"""

from pydantic import Field
from typing_extensions import Doc

from diffmusic.parameters.building import bind, build, checked, values
from diffmusic.parameters.fields import BOUND, Parameter, parameters
from diffmusic.parameters.text import BAR, assignments, row, rows
from diffmusic.parameters.types import (
    SPAN,
    Amount,
    Count,
    Positive,
    Rectangle,
    Seed,
    Span,
    rectangle,
    seconds,
    span,
)

__all__ = [
    "BAR", "BOUND", "SPAN", "Amount", "Count", "Doc", "Field", "Parameter", "Positive", "Rectangle", "Seed", "Span",
    "assignments", "bind", "build", "checked", "parameters", "rectangle", "row", "rows", "seconds", "span", "values",
]  # fmt: skip
