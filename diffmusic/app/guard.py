"""Who may talk to the server: those who know its address and its password, by a name that is its own."""

from __future__ import annotations

import asyncio
import base64
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = {
    # The page is made of its own files alone: nothing is asked of another host, whatever a file's name may contain.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_PAUSE = 1.0
"""Seconds before a wrong password is answered."""


@dataclass(frozen=True)
class Guard:
    """ASGI application in front of another: it lets through what has the token, the host and the password.

    Attributes:
        app: What answers the rest.
        token: First part of every path.
        host: Name or address that the server is bound to.
        password: Asked for by HTTP Basic authentication; "" for none.
    """

    app: App
    token: str
    host: str
    password: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"].split("/", 2)
        if not allowed_host(headers.get("host", ""), self.host):
            # A page elsewhere whose name is made to point here (DNS rebinding) still sends its own name.
            await _refuse(send, 421, "this server does not answer to that name")
        elif len(path) < 3 or not hmac.compare_digest(path[1].encode(), self.token.encode()):
            await _refuse(send, 404, "not found: the address is the one that diffmusic app printed")
        elif self.password and not _knows(headers.get("authorization", ""), self.password):
            if "authorization" in headers:
                await asyncio.sleep(_PAUSE)
            await _refuse(send, 401, "a password is needed", ("www-authenticate", 'Basic realm="diffmusic"'))
        elif scope["method"] not in ("GET", "HEAD") and not same_origin(headers):
            await _refuse(send, 403, "this came from another page")
        else:
            inner = {**scope, "root_path": f"/{self.token}"}
            await self.app(inner, receive, lambda message: send(_with_headers(message)))


def allowed_host(header: str, bound: str) -> bool:
    """Whether a Host header names this server: the host it is bound to, this machine, or any address without a name."""
    name = (urlsplit(f"//{header}").hostname or "").lower()
    if not name:
        return False
    local = _loopback(bound)
    try:
        address = ipaddress.ip_address(name)
        return address.is_loopback if local else True
    except ValueError:
        own = socket.gethostname().lower()
        return name in ({"localhost", bound} if local else {"localhost", bound.lower(), own, f"{own}.local"})


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_local(host: str) -> bool:
    """Whether only this machine can reach a server bound to ``host``."""
    return _loopback(host)


def same_origin(headers: MutableMapping[str, str]) -> bool:
    """Whether a request that changes something comes from the server's own page, as far as its headers tell."""
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _knows(header: str, password: str) -> bool:
    kind, _, value = header.partition(" ")
    try:
        _, _, given = base64.b64decode(value, validate=True).partition(b":")
    except ValueError:
        return False
    return kind.lower() == "basic" and hmac.compare_digest(given, password.encode())


def _with_headers(message: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if message["type"] != "http.response.start":
        return message
    there = {name.lower() for name, _ in message["headers"]}
    more = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in there]
    if b"cache-control" not in there:
        more.append((b"cache-control", b"no-store"))
    return {**message, "headers": [*message["headers"], *more]}


async def _refuse(send: Send, status: int, text: str, *headers: tuple[str, str]) -> None:
    body = f"{text}\n".encode()
    fields = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(body))), *headers]
    encoded = [(name.encode(), value.encode()) for name, value in fields]
    await send(_with_headers({"type": "http.response.start", "status": status, "headers": encoded}))
    await send({"type": "http.response.body", "body": body})
