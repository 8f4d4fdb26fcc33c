"""What checks of priors found best, kept in the user's cache by the hash of the weights."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffmusic.jobs import outputs, record


def folder() -> Path:
    """Return where they are kept: ``diffmusic/checks`` in ``XDG_CACHE_HOME``, which is ``~/.cache`` by default."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diffmusic" / "checks"


def any_kept() -> bool:
    """Return whether any prior has been checked here: without one no prior need be loaded to ask."""
    return any(folder().glob("*.json"))


def keep(report: Mapping[str, Any]) -> Path | None:
    """Keep a report, in place of an older one of the same weights.

    Args:
        report: Of ``diffmusic.jobs.model_check.check``.

    Returns:
        The file; None for a model whose weights have no hash.

    Raises:
        InputError: The cache cannot be written.
    """
    sha256 = str(report["model"].get("sha256", ""))
    if not sha256:
        return None
    path = folder() / f"{sha256}.json"
    outputs.write({path: record.dump(dict(report)).encode()})
    return path


def advice(sha256: str, kind: str) -> dict[str, Any] | None:
    """Return what to use with a prior: ``solver``, ``steps``, and ``check``, the file that says so.

    Args:
        sha256: Of its weights.
        kind: ``gap`` for damage that has a place, ``band`` for other damage.

    Returns:
        None where it was not checked for that kind, or with a solver that is no longer installed.
    """
    path = folder() / f"{sha256}.json"
    try:
        found = json.loads(path.read_text())["advice"][kind]
        return {"solver": str(found["solver"]), "steps": int(found["steps"]), "check": str(path)}
    except (OSError, ValueError, KeyError, TypeError):
        return None
