"""Print the lower bounds of pyproject.toml as constraints for pip: python .ci/oldest.py [NAME==VERSION ...]

What is named on the command line takes the place of its bound.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


def bounds(extras: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the lower bound of every dependency by its name; each has one."""
    lines = [*PROJECT["dependencies"], *(line for name in extras for line in PROJECT["optional-dependencies"][name])]
    found = {}
    for line in lines:
        bound = re.fullmatch(r"([\w-]+)(?:\[[\w,-]+\])?>=([\w.]+)", line)
        assert bound, f"{line!r} has no lower bound"
        found[bound[1]] = bound[2]
    return found


if __name__ == "__main__":
    chosen = bounds(("app", "finetune")) | dict(each.split("==") for each in sys.argv[1:])
    print("\n".join(f"{name}=={version}" for name, version in chosen.items()))
