"""The public API, name by name: one that is removed or renamed fails here, one that is added is put on the list.

python -m tests.test_public_api writes the list anew.
"""

import importlib
import inspect
import pkgutil
from pathlib import Path

import diffmusic
import diffmusic_operators
import diffmusic_solvers

SNAPSHOT = Path(__file__).parent / "public_api.txt"
PRIVATE = ("diffmusic.cli.", "diffmusic.scaffold.", "diffmusic.__main__")
"""Behind the command line, whose help is compared with docs/reference/cli.md; and the patterns of diffmusic new."""


def names() -> list[str]:
    """Every public function, class and constant where it is defined, with its parameters; and a class's own members."""
    found = []
    for package in (diffmusic, diffmusic_operators, diffmusic_solvers):
        for _, module_name, _ in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module_name.startswith(PRIVATE):
                continue
            module = importlib.import_module(module_name)
            for name, thing in vars(module).items():
                if name.startswith("_") or inspect.ismodule(thing) or getattr(thing, "__module__", None) != module_name:
                    continue
                found.append(f"{module_name}.{name}{_parameters(thing)}")
                if inspect.isclass(thing):
                    members = {*vars(thing), *vars(thing).get("__annotations__", {})}
                    found += [f"{module_name}.{name}.{member}" for member in members if not member.startswith("_")]
    return sorted(set(found)) + [f"diffmusic:{name}" for name in sorted(diffmusic.__all__)]


def _parameters(thing: object) -> str:
    if not inspect.isfunction(thing):
        return ""
    return f"({', '.join(inspect.signature(thing).parameters)})"


def test_the_public_api_is_the_one_on_the_list() -> None:
    listed, there = set(SNAPSHOT.read_text().splitlines()), set(names())
    assert not listed - there, f"gone from the public API: {sorted(listed - there)}"
    assert not there - listed, f"new in the public API; run python -m tests.test_public_api: {sorted(there - listed)}"


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(names()) + "\n")
