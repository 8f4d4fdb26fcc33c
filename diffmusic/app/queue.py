"""Jobs: ``diffmusic`` commands, one after another, each in a process of its own that can be ended at any step."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffmusic.cli.terminal import PREVIEW, PROGRESS
from diffmusic.errors import InputError, reason
from diffmusic.plugins import FILES

_GRACE = 3.0
"""Seconds that a command has to stop by itself once it is cancelled."""
_MOST = 200
"""Jobs that are remembered."""
_PROGRESS = re.compile(r"progress ([\d.]+)")
_PREVIEW = re.compile(r"preview ([\d.]+) ([\d.]+) (\d+) (\d+)")


@dataclass
class Job:
    """A command, and how far it is.

    Attributes:
        key: Name of it in addresses.
        file: Recording that it is about.
        argv: Words behind ``diffmusic``, as they are run.
        line: The command as the user would type it.
        title: What it does, for a reader.
        folder: Where its results go.
        state: waiting, running, done, failed or cancelled.
    """

    key: str
    file: str
    argv: Sequence[str]
    line: str
    title: str
    folder: Path
    state: str = "waiting"
    progress: float = 0.0
    notes: list[str] = field(default_factory=list)
    error: str = ""
    started: float = 0.0
    seconds: float = 0.0
    results: list[str] = field(default_factory=list)
    record: Path | None = None
    preview: dict[str, float] = field(default_factory=dict)
    spread: dict[str, Any] = field(default_factory=dict)
    directions: dict[str, Any] = field(default_factory=dict)

    @property
    def estimate(self) -> Path:
        """File that holds the clean estimate so far while it runs."""
        return self.folder.with_name(f"{self.folder.name}.estimate.wav")

    def describe(self) -> dict[str, Any]:
        """What the page is told of it."""
        seconds = time.monotonic() - self.started if self.state == "running" else self.seconds
        left = (
            seconds / self.progress * (1 - self.progress) if self.state == "running" and self.progress > 0.02 else None
        )
        names = (
            "key", "file", "line", "title", "state", "progress", "notes", "error", "results", "preview", "spread",
            "directions",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names} | {"seconds": seconds, "left": left}


class Queue:
    """Jobs of this server, in the order in which they came; they belong to no page, so a reload loses none."""

    def __init__(self, finished: Callable[[Job], None]) -> None:
        """finished: called with a job whose command went well, before it counts as done."""
        self.jobs: dict[str, Job] = {}
        self.finished = finished
        self._changed = asyncio.Event()
        self._spare: asyncio.subprocess.Process | None = None
        self._running: asyncio.subprocess.Process | None = None

    def add(self, job: Job) -> None:
        """Put a job at the end of the queue. Raises InputError where too many wait."""
        if len(self.jobs) >= _MOST:
            raise InputError(f"{_MOST} jobs are in the list: remove some first")
        self.jobs[job.key] = job
        self._changed.set()

    async def cancel(self, key: str) -> None:
        """Stop a job that runs, within the step it is in; one that waits is not begun."""
        job = self._find(key)
        if job.state == "waiting":
            job.state = "cancelled"
        elif job.state == "running":
            job.state = "cancelled"
            if self._running:
                await stop(self._running)

    def remove(self, key: str) -> Job:
        """Take a job that is over off the list. Raises InputError for one that is not."""
        job = self._find(key)
        if job.state in ("waiting", "running"):
            raise InputError("cancel the job first")
        return self.jobs.pop(key)

    async def run(self) -> None:
        """Run what waits, for ever."""
        await self.warm()
        while True:
            job = next((each for each in self.jobs.values() if each.state == "waiting"), None)
            if job is None:
                self._changed.clear()
                await self._changed.wait()
                continue
            try:
                await self._work(job)
            except Exception as error:  # whatever goes wrong with one job, the next one is run
                job.state, job.error, self._running = "failed", reason(error), None
            await self.warm()

    async def output(self, argv: Sequence[str]) -> str:
        """Run a short command beside the queue, and return what it prints. Raises InputError with its error line."""
        process = await self._take()
        try:
            out, err = await process.communicate(_told(argv))
        except asyncio.CancelledError:
            await stop(process)
            raise
        if process.returncode:
            raise InputError(_last_error(err.decode(errors="replace").splitlines()))
        return out.decode()

    async def warm(self) -> None:
        """Have a process ready that has imported what is slow to import."""
        if self._spare is None or self._spare.returncode is not None:
            self._spare = await _start()

    async def close(self) -> None:
        """End all processes."""
        for process in (self._spare, self._running):
            if process and process.returncode is None:
                await stop(process)

    def _find(self, key: str) -> Job:
        if key not in self.jobs:
            raise InputError(f"there is no job {key}")
        return self.jobs[key]

    async def _take(self) -> asyncio.subprocess.Process:
        spare, self._spare = self._spare, None
        return spare if spare and spare.returncode is None else await _start()

    async def _work(self, job: Job) -> None:
        job.state, job.started = "running", time.monotonic()
        process = self._running = await self._take()
        if job.state == "cancelled":
            self._running = None
            await stop(process)
            return
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(_told(job.argv, job.estimate))
        process.stdin.close()
        printed = asyncio.create_task(process.stdout.read())
        lines: list[str] = []
        async for raw in process.stderr:
            text = raw.decode(errors="replace").rstrip()
            if found := _PROGRESS.fullmatch(text):
                job.progress = float(found[1])
            elif found := _PREVIEW.fullmatch(text):
                job.preview = dict(zip(("start", "stop", "step", "steps"), map(float, found.groups()), strict=True))
            else:
                lines.append(text)
        await printed
        code = await process.wait()
        job.preview = {}
        job.estimate.unlink(missing_ok=True)
        self._running = None
        job.seconds = time.monotonic() - job.started
        job.notes = [text.removeprefix("note: ") for text in lines if text.startswith("note: ")]
        if job.state == "cancelled":
            return
        if code == 0:
            try:
                await asyncio.to_thread(self.finished, job)
                job.state, job.progress = "done", 1.0
                return
            except InputError as error:
                lines.append(f"error: {error}")
        job.state, job.error = "failed", _last_error(lines)


async def stop(process: asyncio.subprocess.Process) -> None:
    """Interrupt a process, as Ctrl-C does, and end it where that is of no use."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _GRACE)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "diffmusic.app.worker",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, PROGRESS: "lines"}, start_new_session=True, limit=1 << 20,
    )  # fmt: skip


def _told(argv: Sequence[str], estimate: Path | None = None) -> bytes:
    plugins = [word for path in FILES for word in ("--plugin", str(path))]
    environment = {PREVIEW: str(estimate)} if estimate else {}
    return json.dumps({"argv": [*plugins, *argv], "environment": environment}).encode() + b"\n"


def _last_error(lines: Sequence[str]) -> str:
    errors = [text.removeprefix("error: ") for text in lines if text.startswith("error: ")]
    return errors[-1] if errors else next((text for text in reversed(lines) if text), "it ended without a word")
