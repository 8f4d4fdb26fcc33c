"""Numbers that others have published, kept as data with their source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from diffmusic.bench import yaml_file
from diffmusic.bench.suite import Keys, complaint
from diffmusic.errors import InputError


class Number(Keys):
    """What somebody measured of a solver in a problem: by the names that components have here. model: the prior.
    values: by the names of metrics here."""

    operator: str | None = None
    solver: str
    model: str
    values: dict[str, float]


class Published(Keys):
    """A table of somebody else's. source: where it stands; conditions: what it was measured on."""

    source: str
    conditions: str = ""
    rows: list[Number] = Field(min_length=1)


def read(path: Path) -> dict[str, Any]:
    """A table from its file. Raises InputError for one that is not as it should be."""
    try:
        return Published.model_validate(yaml_file.read(path)).model_dump()
    except ValidationError as error:
        raise InputError(f"{path}: {complaint(error)}") from None
