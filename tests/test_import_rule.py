"""The import rule of diffmusic/: a file imports its own package and the rows above it, and no file lies flat or is
longer than 250 lines.

The rows are those of CONTRIBUTING.md. Imports are read from the syntax trees, those inside of functions included.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import diffmusic

ROOT = Path(diffmusic.__path__[0])
ROWS = (
    {"errors"},
    {"parameters", "plugins", "audio", "prior"},
    {"problem", "reports"},
    {"models"},
    {"solver", "backbones", "datasets"},
    {"editor", "metrics", "scaffold"},
    {"tasks", "testing"},
    {"jobs"},
    {"bench"},
    {"cli"},
    {"app"},
)
MOST_LINES = 250
FACE = {"__init__", "__main__"}
COMPONENTS = {"operators/diffmusic_operators": 3, "solvers/diffmusic_solvers": 6}
"""Packages beside diffmusic/, and how many rows they may import."""


def row(name: str) -> int:
    """The place of a file or package in ROWS, from 1."""
    return next(number for number, names in enumerate(ROWS, start=1) if name in names)


def imported(path: Path) -> Iterator[str]:
    """The part of diffmusic/ that each import of a file names; "" for the face."""
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide what is imported"
            modules = [node.module or ""]
            if node.module == "diffmusic":  # a package, or a name of the face
                modules = [
                    f"diffmusic.{alias.name}" if any(alias.name in names for names in ROWS) else "diffmusic"
                    for alias in node.names
                ]
        for module in modules:
            if module.split(".")[0] == "diffmusic":
                yield [*module.split("."), ""][1]


def test_no_file_lies_flat_but_those_that_everything_uses() -> None:
    flat = {path.stem for path in ROOT.glob("*.py")}
    assert flat == FACE | {"errors"}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages | flat - FACE == set().union(*ROWS)


@pytest.mark.parametrize("name", sorted(set().union(*ROWS)))
def test_imports_go_up_the_rows(name: str) -> None:
    paths = [ROOT / f"{name}.py"] if (ROOT / f"{name}.py").exists() else sorted((ROOT / name).rglob("*.py"))
    for path in paths:
        for other in imported(path):
            assert other in (name, "") or row(other) < row(name), f"{path.relative_to(ROOT)} imports diffmusic.{other}"


@pytest.mark.parametrize(("folder", "rows"), COMPONENTS.items())
def test_components_import_their_rows_alone(folder: str, rows: int) -> None:
    for path in sorted((ROOT.parent / folder).rglob("*.py")):
        for other in imported(path):
            assert other == "" or row(other) <= rows, f"{path.name} imports diffmusic.{other}"


def test_every_file_is_read_in_one_sitting() -> None:
    folders = [ROOT, *(ROOT.parent / folder for folder in COMPONENTS)]
    counts = {path: len(path.read_text().splitlines()) for folder in folders for path in folder.rglob("*.py")}
    assert not {str(path): count for path, count in counts.items() if count > MOST_LINES}


def test_contracts_say_what_a_component_has() -> None:
    """Protocols and typed attributes, not ``hasattr``; one use is left, which names what a component lacks."""
    uses = [line for path in ROOT.rglob("*.py") for line in path.read_text().splitlines() if "hasattr(" in line]
    assert len(uses) <= 1, uses
