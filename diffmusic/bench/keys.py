"""Mappings of a YAML file: unknown keys are refused, and the first error is told in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from diffmusic.errors import suggestion


class Keys(BaseModel):
    """Mapping that refuses unknown keys and suggests the key that was meant."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        for key in given if isinstance(given, Mapping) else ():
            if key not in cls.model_fields:
                raise ValueError(f"there is no key {key!r}.{suggestion(str(key), cls.model_fields)}")
        return given


def complaint(error: ValidationError) -> str:
    """Format the first validation error as one line: the place, and the complaint."""
    first = error.errors()[0]
    words = [f"[{each}]" if isinstance(each, int) else f".{each}" for each in first["loc"]]
    message = first["msg"].removeprefix("Value error, ")
    message = message if message[:2].isupper() else message[:1].lower() + message[1:]
    got = "" if first["type"] in ("missing", "value_error") else f" (got {first['input']!r})"
    where = "".join(words).removeprefix(".")
    return f"{where}{': ' if where else ''}{message}{got}"
