"""A server of ``diffmusic app`` as a process of its own, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PLUGIN = Path(__file__).parents[1] / "plugins" / "diffmusic-telephone" / "diffmusic_telephone.py"


@dataclass(frozen=True)
class Served:
    """A running server. address: as it was printed; folder: where it keeps its files."""

    address: str
    process: subprocess.Popen[str]
    temporary: Path

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    @property
    def token(self) -> str:
        return urlsplit(self.address).path

    def ask(
        self, method: str, path: str, body: bytes | dict[str, Any] | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content of an answer; a path that begins with a slash is taken as it is."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        sent = json.dumps(body).encode() if isinstance(body, dict) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path if path.startswith("/") else self.token + path, sent, named)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, content

    def json(self, method: str, path: str, body: bytes | dict[str, Any] | None = None) -> Any:
        """The answer as JSON; it has to be a good one."""
        status, _, content = self.ask(method, path, body)
        assert status == 200, content
        return json.loads(content)

    def finished(self, job: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until a job is over."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            told: dict[str, Any] = next(each for each in self.json("GET", "state")["jobs"] if each["key"] == job)
            if told["state"] not in ("waiting", "running"):
                return told
            time.sleep(0.1)
        raise AssertionError(f"{job} is not over after {seconds} s")


@contextmanager
def serving(*words: object, **environment: str) -> Iterator[Served]:
    """Run the server with these words on its command line, and stop it as Ctrl-C does."""
    with tempfile.TemporaryDirectory() as temporary:
        env = {**os.environ, **environment, "TMPDIR": temporary}
        command = [sys.executable, "-m", "diffmusic", "app", "--no-browser", *map(str, words)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address.startswith("http://"), address
            try:
                yield Served(address, process, Path(temporary))
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(20)
