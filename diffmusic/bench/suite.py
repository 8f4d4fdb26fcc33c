"""Suite from its YAML file: read and validated, with every row of every problem expanded."""

# ruff: noqa: RUF012 - pydantic copies the defaults of its models

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from diffmusic.bench import yaml_file
from diffmusic.bench.keys import Keys, complaint
from diffmusic.bench.named import Named, assigned
from diffmusic.bench.rows import Entry, Row
from diffmusic.editor.contract import Editor
from diffmusic.errors import InputError, suggestion
from diffmusic.solver.contract import AnySolver


def _component(kind: str) -> Any:
    def check(named: Named) -> Named:
        named.component(kind)
        return named

    return Annotated[Named, BeforeValidator(Named.parse), AfterValidator(check)]


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
