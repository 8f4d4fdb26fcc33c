"""Suite from its YAML file: read and validated, with every row of every problem expanded."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from diffmusic.bench import yaml_file
from diffmusic.bench.named import Named, assigned
from diffmusic.editor.contract import Editor
from diffmusic.errors import InputError, suggestion
from diffmusic.parameters import parameters
from diffmusic.plugins import registry
from diffmusic.solver.contract import AnySolver
from diffmusic.tasks.settings import EditSettings, RestoreSettings


def _component(kind: str) -> Any:
    def check(named: Named) -> Named:
        named.component(kind)
        return named

    return Annotated[Named, BeforeValidator(Named.parse), AfterValidator(check)]


class Keys(BaseModel):
    """Mapping in a suite that refuses unknown keys and suggests the key that was meant."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        for key in given if isinstance(given, Mapping) else ():
            if key not in cls.model_fields:
                raise ValueError(f"there is no key {key!r}.{suggestion(str(key), cls.model_fields)}")
        return given


class Settings(Keys):
    """Settings of a run in addition to its solver's parameters.

    Attributes:
        guidance: by default that of ``solve`` and ``edit``.
        prompted: give a restorer the clip's prompt, where the dataset has one.
        strength: of ``edit``.
        source_guidance: of ``edit``.
    """

    steps: Annotated[int, Field(ge=1)] = 25
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
        return RestoreSettings(steps=self.steps, prompt=told, guidance=self.weight(False), finish=False, **others)

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
        own = [each.name for each in parameters(registry().load("solver", words.name))]
        known = [*own, *Settings.model_fields]
        for name in words.parameters:
            if name not in known:
                raise InputError(f"solver {words.name!r} has no parameter {name!r}.{suggestion(name, known)}")
        solver = Named(words.name, {name: value for name, value in words.parameters.items() if name in own})
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


class Problem(Keys):
    """Problem applied to every clip: an operator to invert, or an edit towards the clip's target.

    Attributes:
        solvers: rows of this problem alone.
        change: parameters of the suite's solvers in this problem, by their label or name.
        sources: the stems that a mixture is made of; the last source is the sum of all others.
        snr: noise in the measurement, dB.
    """

    name: str = ""
    operator: _component("operator") | None = None  # type: ignore[valid-type]
    edit: bool = False
    solvers: list[Entry] = []
    change: dict[str, Annotated[dict[str, Any], BeforeValidator(assigned)]] = {}
    sources: list[str] = []
    snr: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"edit": True} if value == "edit" else {"operator": value}
        if isinstance(value, Mapping) and not value.get("name"):
            operator = value.get("operator")
            named = Named.parse(operator).name if operator else "edit"
            return {**value, "name": named}
        return value

    @model_validator(mode="after")
    def _one(self) -> Problem:
        if (self.operator is None) != self.edit:
            raise ValueError("a problem has an operator, or edit: true")
        return self


class Clips(Keys):
    """Selection of excerpts: ``count`` of ``seconds`` each, spread over the dataset, with starts drawn by ``seed``.

    Attributes:
        rate: sample rate to convert to, Hz.
        mono: mix the channels.
        audible: an excerpt is drawn again while any of its sources has a smaller root mean square.
        names: the recordings to use instead of a spread.
    """

    count: Annotated[int, Field(ge=1)] = 1
    seconds: Annotated[float | None, Field(gt=0)] = None
    rate: Annotated[int | None, Field(ge=1000)] = None
    mono: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    audible: Annotated[float, Field(ge=0)] = 1e-3
    names: list[str] = []

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"count": value} if isinstance(value, int) else value


class Suite(Keys):
    """Benchmark that ``diffmusic bench`` runs: clips x problems x solvers x backbones x seeds.

    Attributes:
        keep: number of clips whose audio is kept, for the page to play.
        published: file of published numbers to show in the tables.
        needs: what has to be installed or downloaded first, shown to those who lack it.
    """

    title: str
    about: str = ""
    needs: str = ""
    dataset: _component("dataset")  # type: ignore[valid-type]
    clips: Clips = Clips()
    problems: Annotated[list[Problem], Field(min_length=1)]
    solvers: list[Entry] = []
    backbones: Annotated[list[str], Field(min_length=1)] = ["mini"]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    metrics: Annotated[list[_component("metric")], Field(min_length=1)]  # type: ignore[valid-type]
    keep: Annotated[int, Field(ge=0)] = 1
    published: Path | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Suite:
        names = [problem.name for problem in self.problems]
        for number, problem in enumerate(self.problems):
            if problem.name in names[:number]:
                raise ValueError(f"two problems are called {problem.name!r}: give one a name of its own")
            wanted = Editor if problem.edit else AnySolver
            labels = []
            for row in self.rows(problem):
                if not isinstance(row.solver.component("solver"), wanted):
                    does = (
                        "restores recordings and edits none" if problem.edit else "edits recordings and restores none"
                    )
                    raise ValueError(f"problem {problem.name!r}: solver {row.solver.name!r} {does}")
                if row.label in labels:
                    raise ValueError(f"problem {problem.name!r} has two rows called {row.label!r}: give one a label")
                labels.append(row.label)
            if not labels:
                raise ValueError(f"problem {problem.name!r} has no solvers")
        for entry in self.solvers:
            for name in entry.problems or ():
                if name not in names:
                    raise ValueError(f"solver {str(entry.solver)!r}: no problem is called {name!r}."
                                     f"{suggestion(name, names)}")  # fmt: skip
        return self

    def rows(self, problem: Problem) -> list[Row]:
        """Return the rows of a problem: its own, then those of all problems."""
        shared = [each for each in self.solvers if each.problems is None or problem.name in each.problems]
        known = {key for each in shared for key in (each.label, each.solver.name, str(each.solver)) if key}
        for key in problem.change:
            if key not in known:
                raise ValueError(f"problem {problem.name!r} changes no solver {key!r}.{suggestion(key, known)}")
        made = [row for entry in problem.solvers for row in entry.rows({})]
        for entry in shared:
            keys = (entry.solver.name, str(entry.solver), entry.label)
            change = {name: value for key in keys for name, value in problem.change.get(key or "", {}).items()}
            made += entry.rows(change)
        return made


def read(path: Path) -> Suite:
    """Read a suite from its file; relative paths in it are relative to the file's folder.

    Raises:
        InputError: the file is invalid; one line that names the place in it.
    """
    given = yaml_file.read(path)
    if not isinstance(given, dict):
        raise InputError(f"{path} is no suite: it holds no keys such as title, dataset, problems")
    try:
        suite = TypeAdapter(Suite).validate_python(given)
    except ValidationError as error:
        raise InputError(f"{path}: {complaint(error)}") from None
    place = suite.dataset.parameters.get("path")
    changes: dict[str, Any] = {}
    if place is not None:
        changes["dataset"] = suite.dataset.changed({"path": str(path.parent / Path(place).expanduser())})
    if suite.published:
        changes["published"] = path.parent / suite.published
    return suite.model_copy(update=changes)


def complaint(error: ValidationError) -> str:
    """Format the first validation error as one line: the place, and the complaint."""
    first = error.errors()[0]
    words = [f"[{each}]" if isinstance(each, int) else f".{each}" for each in first["loc"]]
    message = first["msg"].removeprefix("Value error, ")
    message = message if message[:2].isupper() else message[:1].lower() + message[1:]
    got = "" if first["type"] in ("missing", "value_error") else f" (got {first['input']!r})"
    where = "".join(words).removeprefix(".")
    return f"{where}{': ' if where else ''}{message}{got}"
