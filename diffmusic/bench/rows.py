"""Rows of a suite: solvers with their settings, expanded from its entries."""

# ruff: noqa: RUF012 - pydantic copies the defaults of its models

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from diffmusic.bench.keys import Keys, complaint
from diffmusic.bench.named import Named, assigned
from diffmusic.errors import InputError, suggestion
from diffmusic.parameters import parameters
from diffmusic.tasks.settings import EditSettings, RestoreSettings


class Settings(Keys):
    """Settings of a run in addition to its solver's parameters.

    Attributes:
        samples: of a restorer; the medoid is scored, and more columns have the mean, the best, and the calibration.
        guidance: by default that of ``solve`` and ``edit``.
        prompted: give a restorer the clip's prompt, where the dataset has one.
        strength: of ``edit``.
        source_guidance: of ``edit``.
    """

    steps: Annotated[int, Field(ge=1)] = 25
    samples: Annotated[int, Field(ge=1)] = 1
    guidance: Annotated[float | None, Field(ge=0)] = None
    prompted: bool = False
    strength: Annotated[float, Field(gt=0)] = EditSettings.strength
    source_guidance: Annotated[float, Field(ge=0)] = EditSettings.source_guidance

    def weight(self, editing: bool) -> float:
        """Return the classifier-free guidance weight that applies."""
        default = EditSettings.guidance if editing else RestoreSettings.guidance
        return default if self.guidance is None else self.guidance

    def restoring(self, prompt: str | None, **others: Any) -> RestoreSettings:
        """Build the settings of ``restore`` for the raw estimate of a clip, with its prompt if ``prompted``."""
        told = (prompt,) if prompt is not None and self.prompted else ()
        return RestoreSettings(
            steps=self.steps, samples=self.samples, prompt=told, guidance=self.weight(False), finish=False, **others
        )

    def editing(self, target: str, source: str, **others: Any) -> EditSettings:
        """Build the settings of ``edit`` towards a target."""
        return EditSettings(
            (target,), source, strength=self.strength, steps=self.steps, guidance=self.weight(True),
            source_guidance=self.source_guidance, **others,
        )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """Row of the table: a solver with its settings."""

    label: str
    solver: Named
    settings: Settings

    @classmethod
    def of(cls, label: str, words: Named) -> Row:
        """Split one list of parameters into the solver's and the settings; a name that both have is the solver's.

        Raises InputError for a name that neither has.
        """
        own = [each.name for each in parameters(words.type("solver"))]
        known = [*own, *Settings.model_fields]
        for name in words.parameters:
            if name not in known:
                raise InputError(f"solver {words.name!r} has no parameter {name!r}.{suggestion(name, known)}")
        solver = replace(words, parameters={name: value for name, value in words.parameters.items() if name in own})
        solver.component("solver")
        rest = {name: value for name, value in words.parameters.items() if name not in own}
        try:
            return cls(label, solver, Settings(**rest))
        except ValidationError as error:
            raise InputError(complaint(error)) from None


class Entry(Keys):
    """Solver in a suite: one row, or one for every combination of the values in ``grid``.

    problems: the names of the problems in which it is a row; by default all.
    """

    solver: Annotated[Named, BeforeValidator(Named.parse)]
    label: str | None = None
    grid: dict[str, list[Any]] = {}
    problems: list[str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) and "name" not in value else {"solver": value}

    @model_validator(mode="after")
    def _fits(self) -> Entry:
        self.rows({})
        return self

    def rows(self, change: Mapping[str, Any]) -> list[Row]:
        """Expand into rows. change: parameters that override its own; the label does not show them."""
        made = []
        for values in itertools.product(*self.grid.values()):
            tried = assigned(dict(zip(self.grid, values, strict=True)))
            words = self.solver.changed(tried)
            label = str(Named(self.label, tried)) if self.label else str(words)
            made.append(Row.of(label, self.solver.changed(change).changed(tried)))
        return made
