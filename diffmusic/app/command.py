"""``diffmusic app [FILE...]``: the local page."""

from __future__ import annotations

import os
import secrets
import socket
import webbrowser
from importlib.util import find_spec
from pathlib import Path

import click

from diffmusic.errors import InputError

NEEDED = ("PIL", "starlette", "uvicorn")
"""What the extra ``app`` brings."""
PASSWORD = "DIFFMUSIC_APP_PASSWORD"


@click.command("app")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE...]")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="NAME",
              help="Where to listen; another than this machine needs a password.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="[default: one that is free]")
@click.option("--password", envvar=PASSWORD, metavar="TEXT", show_envvar=True,
              help="Ask for it; better given by the variable, which no list of processes shows.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), default=2000, show_default=True, metavar="MB",
              help="Largest file that is taken in.")  # fmt: skip
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser (the default), or only say "
              "where it is.")  # fmt: skip
def app(paths: tuple[Path, ...], host: str, port: int, password: str | None, limit: int, browser: bool) -> None:
    """Look at recordings, listen, mark what is lost, and restore it, on a page in the browser.

    Nothing leaves this machine. What the page runs is a command that it shows; its results are the command's, byte for
    byte. It needs pip install 'diffmusic[app]'.

    \b
    diffmusic app song.flac
    DIFFMUSIC_APP_PASSWORD=... diffmusic app --host 0.0.0.0 --port 8000      for a studio's network
    """
    if any(find_spec(name) is None for name in NEEDED):
        raise InputError("the page needs packages that are not installed: pip install 'diffmusic[app]'")
    from diffmusic.app.guard import is_local
    from diffmusic.app.server import serve
    from diffmusic.audio import files

    if not is_local(host) and not password:
        raise InputError(
            f"--host {host} lets others in: set a password with --password, or {PASSWORD} in the environment"
        )
    for path in paths:
        files.find(path)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(f"cannot listen at {host}, port {port}: {os.strerror(error.errno or 0)}") from None
    token, bound = secrets.token_urlsafe(24), listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{bound}/{token}/"

    def started() -> None:
        click.echo(f"{address}\nCtrl-C stops it, and empties its folder")
        if browser:
            webbrowser.open(address)

    serve(listener, host, token, password or "", limit * 1_000_000, paths, started)
