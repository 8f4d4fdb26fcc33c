"""Templates of ``diffmusic new``: the other modules in this package are the patterns, and work as they are."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from diffmusic.errors import InputError

HERE = Path(__file__).parent

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "diffmusic-{name}"
version = "0.1.0"
description = "{Name}: {a} {kind} of diffmusic"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["diffmusic"]

[project.optional-dependencies]
dev = ["pytest"]

[project.entry-points.diffmusic]
{name} = "diffmusic_{module}.plugin"

[tool.hatch.build.targets.wheel]
packages = ["diffmusic_{module}"]
"""

_README = """\
# diffmusic-{name}

{Name}: {a} {kind} of diffmusic.

```sh
pip install -e '.[dev]'
diffmusic check {name}
{use}
pytest
```
"""

_PLUGIN = '''\
"""What this package offers to diffmusic. It imports no torch, so that listings stay fast."""

from diffmusic import Spec, hookimpl


@hookimpl
def diffmusic_{kind}s() -> list[Spec]:
    return [Spec("{name}", "diffmusic_{module}.{module}:{target}", "{summary}"{fields})]
'''

_TEST = """\
from typing import Any

from diffmusic.testing import parametrize_with_checks
from diffmusic_{module}.{module} import {target}


@parametrize_with_checks([{target}{call}])
def test_it_keeps_its_contract(component: Any, check: Any) -> None:
    check(component)
"""

_SOLVE = "solve inpainting song.flac --gap 2:3"
_KINDS = {
    "operator": ("{Class}", "the sound and one echo of it", ', tags=("linear",)', "()", "solve {name} song.flac"),
    "solver": ("{Class}", "a gradient step on the clean estimate", ', role="prior"', "()", _SOLVE + " --solver {name}"),
    "backbone": ("load", "white noise: no network, no weights", "", "()", _SOLVE + " --model {name}"),
    "metric": ("{module}", "energy of the difference, dB",
               ', role="pair", higher_is_better=False, reported=True', "", _SOLVE + " --simulate"),
    "embedding": ("load", "log energies of sixteen bands", "", "()",
                  "evaluate clean/ restored/ --metrics 'fad embedding={name}'"),
    "dataset": ("{Class}", "sine tones a semitone apart", "", "()", "datasets {name}"),
}  # fmt: skip
"""For each kind: target, summary and further fields of its Spec, the test's access to it, a command that uses it."""


def write(kind: str, name: str, folder: Path) -> list[Path]:
    """Write the distribution ``diffmusic-NAME`` into ``folder``; return its files.

    Raises InputError for a name that cannot be one, and for a folder that holds one already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise InputError(f"{name!r} cannot be a name: write it in small letters, digits and hyphens, such as tape-hiss")
    root, module = folder / f"diffmusic-{name}", name.replace("-", "_")
    if root.exists():
        raise InputError(f"{root} exists already; choose another name, or another folder with -o")
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist")
    words = {"kind": kind, "name": name, "module": module, "Class": name.title().replace("-", "")}
    words["a"] = "an" if kind[0] in "aeiou" else "a"
    words["Name"] = name.capitalize().replace("-", " ")
    target, summary, fields, call, use = (text.format(**words) for text in _KINDS[kind])
    words |= {"target": target, "summary": summary, "fields": fields, "call": call, "use": f"diffmusic {use}"}
    package = root / f"diffmusic_{module}"
    pattern = (HERE / f"{kind}.py").read_text()
    contents = {
        root / "pyproject.toml": _PYPROJECT.format(**words),
        root / "README.md": _README.format(**words),
        root / f"test_{module}.py": _TEST.format(**words),
        package / "__init__.py": f'"""{words["Name"]}: {words["a"]} {kind} of diffmusic."""\n',
        package / "plugin.py": _PLUGIN.format(**words),
        package / f"{module}.py": pattern.replace("Placeholder", words["Class"]).replace("placeholder", module),
    }
    package.mkdir(parents=True)
    for path, text in contents.items():
        path.write_text(text)
    return list(contents)
