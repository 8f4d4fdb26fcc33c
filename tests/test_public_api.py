"""The public API, name by name: ``diffmusic.__all__`` and ``diffmusic.testing.__all__``, with signatures and members.

A name that is removed or changed fails here; one that is added is put on the list: python -m tests.test_public_api
"""

import dataclasses
import inspect
import re
from pathlib import Path

import diffmusic
import diffmusic.testing

SNAPSHOT = Path(__file__).parent / "public_api.txt"


def names() -> list[str]:
    """Return a line for every public name, with its signature, and for every member of a public class."""
    found = []
    for module in (diffmusic, diffmusic.testing):
        for name in module.__all__:
            thing, path = getattr(module, name), f"{module.__name__}.{name}"
            found.append(f"{path}{_signature(thing)}")
            if inspect.isclass(thing) and thing.__module__.startswith("diffmusic"):
                found += [f"{path}.{member}" for member in _members(thing)]
    return sorted(found)


def _members(kind: type) -> set[str]:
    """Return the public members of a class and of its bases in diffmusic: fields, methods, properties."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not base.__module__.startswith("diffmusic"):
            continue
        fields = inspect.get_annotations(base)
        found |= {name: "" if name in fields else _signature(thing) for name, thing in vars(base).items()}
        found |= dict.fromkeys(fields, "")
    public = {name: signature for name, signature in found.items() if not name.startswith("_") or name == "__call__"}
    return {f"{name}{signature}" for name, signature in public.items()}


def _signature(thing: object) -> str:
    thing = thing.__func__ if isinstance(thing, classmethod | staticmethod) else thing
    ours = (getattr(thing, "__module__", None) or "").startswith("diffmusic")
    if not ours or not (inspect.isfunction(thing) or dataclasses.is_dataclass(thing)):
        return ""
    assert callable(thing)
    text = re.sub(r"<function .*? at 0x\w+>", "<function>", str(inspect.signature(thing)))
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)


def test_the_public_api_is_the_one_on_the_list() -> None:
    listed, there = set(SNAPSHOT.read_text().splitlines()), set(names())
    assert not listed - there, f"gone from the public API: {sorted(listed - there)}"
    assert not there - listed, f"new in the public API; run python -m tests.test_public_api: {sorted(there - listed)}"


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(names()) + "\n")
