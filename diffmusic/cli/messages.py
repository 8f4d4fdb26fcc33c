"""Messages of the library in the terms of the command line."""

import re

_PARAMETER = re.compile(r"`([a-z][a-z0-9_]*)(=False)?`")
_SINGULAR = {"levels": "level", "segments": "segment", "targets": "target"}


def flagged(message: object) -> str:
    """Replace the parameters that a message names in backticks by the flags of the command line."""

    def flag(found: re.Match[str]) -> str:
        name = _SINGULAR.get(found[1], found[1]).replace("_", "-")
        return f"--no-{name}" if found[2] else f"--{name}"

    return _PARAMETER.sub(flag, str(message))
