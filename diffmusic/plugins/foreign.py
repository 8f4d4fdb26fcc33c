"""Third-party code: whatever it raises becomes one line, and takes nothing else down."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffmusic.errors import DiffmusicError, reason

if TYPE_CHECKING:
    import click


class Broken(Exception):
    """What a third party's code raised, as one line; the cause is kept."""


@contextmanager
def foreign() -> Iterator[None]:
    """Run a third party's code: what it prints goes to stderr, whatever it raises becomes `Broken`."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit is none of Exception, and neither is a panic of Rust
        raise Broken(reason(error)) from error


def guarded(whose: str, invoke: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(context: click.Context) -> Any:
        import click

        try:
            return invoke(context)
        except (
            DiffmusicError,
            click.ClickException,
            click.Abort,
            click.exceptions.Exit,
            SystemExit,
            KeyboardInterrupt,
        ):
            raise
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise DiffmusicError(
                f"plugin {whose} failed: {reason(error)} ({Path(place.filename).name}, line {place.lineno})"
            ) from error

    return guarded
