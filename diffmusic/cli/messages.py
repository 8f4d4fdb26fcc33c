"""Messages of the library as the command line says them."""

import re

_PARAMETER = re.compile(r"`([a-z][a-z0-9_]*)(=False)?`")
_SINGULAR = {"levels": "level", "segments": "segment", "targets": "target"}


def flagged(message: object) -> str:
    """A message, which names parameters in backticks, with the flags of the command line in their place."""

    def flag(found: re.Match[str]) -> str:
        name = _SINGULAR.get(found[1], found[1]).replace("_", "-")
        return f"--no-{name}" if found[2] else f"--{name}"

    return _PARAMETER.sub(flag, str(message))
