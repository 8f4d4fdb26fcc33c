"""Every public name is on a page of docs/api/, and its docstring says what goes in, what comes out and what fails."""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

import diffmusic
import diffmusic.testing
from diffmusic.plugins import Hooks

API = Path(__file__).parents[1] / "docs" / "api"
SHOWN = [
    name for page in sorted(API.glob("*.md")) for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
]
THEIRS = {"Doc", "Field", "hookimpl", "__version__"}
"""Names of other libraries, and what is no function or class."""


def thing(path: str) -> Any:
    """Import what a page shows."""
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise AssertionError(path)


def callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every function that the pages show: by itself, or as a method of a class."""
    for path in SHOWN:
        found = thing(path)
        if inspect.isfunction(found):
            yield path, found
        elif inspect.isclass(found):
            for name, member in vars(found).items():
                member = member.__func__ if isinstance(member, classmethod | staticmethod) else member
                if not inspect.isfunction(member) or (name.startswith("_") and name != "__call__"):
                    continue
                # Not the methods that dataclass and Protocol make, nor a default that is a function.
                if not member.__code__.co_filename.startswith("<") and member.__name__ == name:
                    yield f"{path}.{name}", member


def sections(docstring: str) -> dict[str, list[str]]:
    """The Google-style sections of a docstring, each with the names before its colons."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in inspect.cleandoc(docstring).splitlines():
        if title := re.fullmatch(r"(Args|Returns|Yields|Raises|Attributes):", line):
            current = found.setdefault(title[1], [])
        elif line and not line.startswith(" "):
            current = None
        elif current is not None and (entry := re.match(r" {4}(\*{0,2}\w+):? ?", line)):
            current.append(entry[1].lstrip("*"))
    return found


def raised(function: Callable[..., Any]) -> set[str]:
    """The errors of the interface that a function raises by itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    names = {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
    }
    return names & {"InputError", "Diverged", "ValueError", "TypeError"}


def faults(function: Callable[..., Any]) -> list[str]:
    """What the docstring of a function lacks."""
    text = function.__doc__ or ""
    told, signature = sections(text), inspect.signature(function)
    parameters = [name for name in signature.parameters if name not in ("self", "cls")]
    lacking = [f"Args: {name}" for name in parameters if name not in told.get("Args", ())]
    lacking += [f"no parameter {name}" for name in told.get("Args", ()) if name not in parameters]
    if str(signature.return_annotation).strip("'") not in ("None", "NoReturn") and not {"Returns", "Yields"} & {*told}:
        lacking.append("Returns")
    lacking += [f"Raises: {name}" for name in raised(function) if name not in told.get("Raises", ())]
    if re.search(r"\bRaises? \w*Error", re.sub(r"Raises:\n.*", "", text, flags=re.DOTALL)):
        lacking.append("Raises as a section")
    return lacking


def test_every_public_name_is_on_one_page() -> None:
    public = {f"diffmusic.{name}" for name in set(diffmusic.__all__) - THEIRS}
    public |= {f"diffmusic.testing.{name}" for name in diffmusic.testing.__all__}
    assert public - set(SHOWN) == set(), "put them on a page of docs/api/"
    assert len(SHOWN) == len(set(SHOWN)), "shown twice"
    assert [path for path in SHOWN if not thing(path).__doc__] == []


@pytest.mark.parametrize(("path", "function"), callables(), ids=lambda each: each if isinstance(each, str) else "")
def test_a_function_says_what_goes_in_comes_out_and_fails(path: str, function: Callable[..., Any]) -> None:
    assert faults(function) == [], path


@pytest.mark.parametrize("path", [path for path in SHOWN if is_dataclass(thing(path))])
def test_a_dataclass_says_what_its_attributes_are(path: str) -> None:
    kind = thing(path)
    told = {name for base in kind.__mro__ for name in sections(base.__doc__ or "").get("Attributes", ())}
    assert {field.name for field in fields(kind)} == told


def test_hooks_are_all_described() -> None:
    for name, hook in vars(Hooks).items():
        if name.startswith("diffmusic_"):
            assert faults(hook) == [], name


def test_what_a_docstring_lacks_is_noticed() -> None:
    def bare(x: int) -> int:
        """Add one."""
        if x < 0:
            raise ValueError("negative")
        return x + 1

    def stale(x: int) -> None:
        """Do nothing. Raises InputError.

        Args:
            x: A number.
            y: Gone.
        """

    assert faults(bare) == ["Args: x", "Returns", "Raises: ValueError"]
    assert faults(stale) == ["no parameter y", "Raises as a section"]
