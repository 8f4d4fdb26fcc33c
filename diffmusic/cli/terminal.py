"""The lines and the bar of a terminal: a line stands on its own, whatever is drawn while it is printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from diffmusic.cli.messages import flagged

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

PROGRESS = "DIFFMUSIC_PROGRESS"
"""Environment variable; where it is "lines", progress is printed on stderr for a program that shows it its own way."""

PREVIEW = "DIFFMUSIC_PREVIEW"
"""Environment variable: a WAV file that the clean estimate so far is written to, each time with a line
``preview START STOP STEP STEPS`` on stderr."""

_drawn: list[Bar] = []


def say(text: str, err: bool = False) -> None:
    """Print a line. A bar that is drawn is taken away first, and drawn again below."""
    for bar in _drawn:
        bar.stop()
    click.echo(text, err=err)
    for bar in _drawn:
        bar.start()


def note(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print a warning of diffmusic or a plugin as a note to the user; those of libraries are for developers."""
    if category is UserWarning:
        say(f"note: {flagged(message)}", err=True)


@contextmanager
def progress_bar(files: int) -> Iterator[Callable[[float, str], Callable[[float], None] | None]]:
    """One bar on a terminal for all files, silence in a pipe, or lines ``progress SHARE``. Yields what makes the
    progress of a file from its number and name."""
    if os.environ.get(PROGRESS) == "lines":
        yield lambda number, name: lambda done: click.echo(f"progress {(number + done) / files:.4f}", err=True)
        return
    if not sys.stderr.isatty():
        yield lambda number, name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    columns = (
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=2)),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4, max_width=40)),
        TextColumn("{task.percentage:>3.0f}%", table_column=Column(no_wrap=True, min_width=4)),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True, min_width=5)),
    )
    console = Console(stderr=True)
    # Other lines come through ``say``; a console that takes over stdout would put them on stderr.
    bar = Bar(*columns, console=console, transient=True, expand=True, redirect_stdout=False, redirect_stderr=False)
    with bar:
        _drawn.append(bar)
        task = bar.add_task("", total=float(files))

        def begin(number: float, name: str) -> Callable[[float], None]:
            label = name if files == 1 else f"{name} ({number + 1} of {files})"
            bar.update(task, completed=number, description=label)
            return lambda done: bar.update(task, completed=number + done)

        try:
            yield begin
        finally:
            _drawn.remove(bar)
