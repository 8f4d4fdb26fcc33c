"""Address of a model on the Hugging Face hub, as a user writes or pastes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from diffmusic.errors import InputError

NAME = r"[A-Za-z0-9][\w.-]*"
PLAIN = re.compile(rf"(?P<repository>{NAME}/{NAME})(?P<folder>(/[\w.-]+)*)(@(?P<revision>[\w./-]+))?")
SITE = re.compile(r"(https?://)?(www\.)?(huggingface\.co|hf\.co)/(?!datasets/|spaces/)")
PAGE = re.compile(rf"(?P<repository>{NAME}/{NAME})(/(tree|blob|resolve)/(?P<revision>[\w.-]+)(?P<folder>(/[\w.-]+)*))?")


@dataclass(frozen=True)
class Address:
    """Model on the hub: an id ``owner/name``, a folder in it, and a branch, tag or commit (None: the newest)."""

    repository: str
    folder: str = ""
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address | None:
        """Read ``owner/name[/folder][@revision]`` or the address of a page of the hub. None if it is neither."""
        site = SITE.match(text)
        if site:
            text = re.split(r"[?#]", text[site.end() :])[0].rstrip("/")
        match = (PAGE if site else PLAIN).fullmatch(text)
        if match is None:
            return None
        return cls(match["repository"], (match["folder"] or "").strip("/"), match["revision"])

    def __str__(self) -> str:
        folder, revision = f"/{self.folder}" if self.folder else "", f"@{self.revision}" if self.revision else ""
        return f"{self.repository}{folder}{revision}"


def address(model: str) -> Address:
    """Return the address that a text is. Raises InputError for one that is none."""
    found = Address.parse(model)
    if found is None:
        raise InputError(f"{model!r} is no id of a model: write owner/name, owner/name/folder or owner/name@revision")
    return found
