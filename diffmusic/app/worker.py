"""A process that has imported what is slow to import, and then runs one command: ``python -m diffmusic.app.worker``."""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module

_SLOW = ("diffmusic.jobs.restore", "diffmusic.jobs.edit", "diffmusic.jobs.detect", "diffmusic.cli.solving")


def main() -> None:
    """Read a command from stdin, a line of JSON with ``argv`` and ``environment``, and run it. Without one, end."""
    # Ctrl-C ends a command at its next step, also where whoever started the server ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in _SLOW:
        import_module(name)
    told = sys.stdin.readline()
    if told:
        from diffmusic.cli import main as command_line

        command = json.loads(told)
        os.environ.update(command["environment"])
        command_line(command["argv"])


if __name__ == "__main__":
    main()
