"""Reading what a request asks, and what the page's forms are made of."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from starlette.requests import Request

from diffmusic.errors import InputError
from diffmusic.plugins import FILES

_FORM = 1 << 16
"""Bytes of the largest form."""


def number(request: Request, name: str, default: int = 0) -> int:
    """Read a whole number from an address. Raises InputError for anything else."""
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or len(text) > 15:
        raise InputError(f"{name} is a whole number, not {text!r}")
    return int(text)


async def read_form(request: Request) -> dict[str, Any]:
    """Read a form, a JSON mapping, from the body of a request. Raises InputError for anything else."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _FORM:
            raise InputError("the form is too long")
    try:
        form = json.loads(body)
    except ValueError:
        raise InputError("the form is no JSON") from None
    if not isinstance(form, dict):
        raise InputError("the form is no mapping")
    return form


async def described() -> dict[str, Any]:
    """Describe the components for the page's forms, in a process of its own, which imports them all."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "diffmusic.app.forms", *map(str, FILES), stdout=asyncio.subprocess.PIPE
    )
    try:
        out, _ = await process.communicate()
        found: dict[str, Any] = json.loads(out)
        return found
    except asyncio.CancelledError:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
