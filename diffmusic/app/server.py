"""The server of the page: its application, and how it is run."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from diffmusic.app.answers import Answers
from diffmusic.app.guard import Guard
from diffmusic.errors import DiffmusicError


async def _told(_request: Request, error: Exception) -> Response:
    """An error of the user as one line."""
    return JSONResponse({"error": str(error)}, 400)


def application(answers: Answers, host: str, token: str, password: str) -> Guard:
    """The whole application, guarded."""
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {DiffmusicError: _told}
    inner = Starlette(routes=answers.routes(), lifespan=answers.lifespan, exception_handlers=handlers)
    return Guard(inner, token, host, password)


def serve(
    listener: socket.socket, host: str, token: str, password: str, limit: int, paths: Sequence[Path],
    started: Callable[[], None],
) -> None:  # fmt: skip
    """Serve the page until Ctrl-C. started: called once the server answers."""
    app = application(Answers(limit, paths), host, token, password)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=3)

    class Started(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

    with contextlib.suppress(KeyboardInterrupt):
        Started(config).run(sockets=[listener])
