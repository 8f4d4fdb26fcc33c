"""Numbers that others have published, kept as data with their source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from diffmusic.bench import yaml_file
from diffmusic.bench.keys import Keys, complaint
from diffmusic.errors import InputError


class Number(Keys):
    """Published values of one solver in one problem, under the component names used here."""

    operator: str | None = None
    solver: str
    model: str
    values: dict[str, float]


class Published(Keys):
    """Table from a publication. source: its reference; conditions: what it was measured on."""

    source: str
    conditions: str = ""
    rows: list[Number] = Field(min_length=1)


def read(path: Path) -> dict[str, Any]:
    """Read a table from a file. Raises InputError for an invalid file."""
    try:
        return Published.model_validate(yaml_file.read(path)).model_dump()
    except ValidationError as error:
        raise InputError(f"{path}: {complaint(error)}") from None
