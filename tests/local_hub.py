"""A hub on this machine, which answers as the real one does."""

import http.server
import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = {"main", "v1", COMMIT}


class Hub(http.server.ThreadingHTTPServer):
    """Serves folders as repositories, and counts what it is asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Path] = {}
        self.gated: set[str] = set()
        self.asked: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    """The few routes that huggingface_hub takes."""

    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0].strip("/")
        self.server.asked.append(f"{self.command} {path}")
        parts = path.removeprefix("api/models/").split("/")
        name, rest = "/".join(parts[:2]), parts[2:]
        folder = self.server.repositories.get(name)
        if folder is None:
            self.answer(404, X_Error_Code="RepoNotFound")
            return
        asked = rest[1] if rest[:1] in (["revision"], ["resolve"], ["tree"]) else "main"
        if asked not in REVISIONS:
            self.answer(404, X_Error_Code="RevisionNotFound")
            return
        files = sorted(each for each in folder.rglob("*") if each.is_file())
        if path.startswith("api/models/") and rest[:1] == ["tree"]:
            tree = [
                {
                    "type": "file",
                    "path": each.relative_to(folder).as_posix(),
                    "size": each.stat().st_size,
                    "oid": "0" * 40,
                }
                for each in files
            ]
            self.answer(200, json.dumps(tree).encode(), Content_Type="application/json")
        elif path.startswith("api/models/"):
            siblings = [
                {"rfilename": each.relative_to(folder).as_posix(), "size": each.stat().st_size} for each in files
            ]
            info = {"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0, "private": False}
            self.answer(200, json.dumps(info).encode(), Content_Type="application/json")
        elif name in self.server.gated and self.command in ("GET", "HEAD"):
            self.answer(403, X_Error_Code="GatedRepo")
        else:
            file = folder / "/".join(rest[2:])
            if not file.is_file():
                self.answer(404, X_Error_Code="EntryNotFound")
                return
            content = file.read_bytes()
            etag = f'"{sha256(content).hexdigest()}"'
            self.answer(200, content, ETag=etag, X_Repo_Commit=COMMIT)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub of our own, and an empty cache."""
    with Hub() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{running.server_address[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield running
        running.shutdown()
