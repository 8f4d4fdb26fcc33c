"""What came of a job: its recordings, its record, and directions that later edits can follow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffmusic.app.library import Library
from diffmusic.app.queue import Job
from diffmusic.audio import files
from diffmusic.errors import InputError

DIRECTIONS = "directions.safetensors"
"""File of ``diffmusic explore``."""


def finished(job: Job, library: Library) -> None:
    """Open the results of a job whose command went well."""
    job.record = next(iter(sorted(job.folder.glob("*.json"))), None)
    known = json.loads(job.record.read_text()) if job.record else {}
    job.spread = known.get("samples") or {}
    if (job.folder / DIRECTIONS).exists():
        recording = Path(library[job.file].shown)
        shown = recording.with_name(f"{recording.stem}.directions") / DIRECTIONS
        # They are of these stretches, as that prior encodes them, and of no others.
        own = {name: known["job"][name] for name in ("components", "segments", "model")}
        job.directions = {"shown": str(shown), **own}
    for path in sorted(path for path in job.folder.iterdir() if path.suffix.lower() in files.FORMATS):
        job.results.append(library.open(path, path.name, job.file).key)


def with_directions(form: Mapping[str, Any], jobs: Mapping[str, Job], shown: bool) -> Mapping[str, Any]:
    """Name the file of directions in a form that names the job that found them.

    Args:
        form: What the page's form says.
        jobs: Of the server.
        shown: Name it as the user's own command would have written it.

    Raises:
        InputError: There is no such job any more.
    """
    flags = form.get("flags")
    if not isinstance(flags, dict) or "directions" not in flags:
        return form
    job = jobs.get(str(flags["directions"]))
    if job is None or not job.directions:
        raise InputError("these directions are gone: find them again")
    path = job.directions["shown"] if shown else str(job.folder / DIRECTIONS)
    return {**form, "flags": flags | {"directions": path}}


def estimate(jobs: Mapping[str, Job], key: str) -> Path:
    """The file of the clean estimate so far of a job that runs. Raises InputError where there is none."""
    job = jobs.get(key)
    if job is None or not job.estimate.exists():
        raise InputError("there is no estimate yet")
    return job.estimate
