"""Cells on this machine: in this process, or in several that are given one after another."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

import torch

from diffmusic.bench import cell
from diffmusic.bench.cell import Result, Task
from diffmusic.bench.clips import Material
from diffmusic.plugins import FILES, add_file

Job = tuple[Any, Task, Material]
"""What the result is called, and what a cell is made of."""
Engine = Callable[[Iterable[Job]], Iterator[tuple[Any, Result]]]

START: Literal["spawn"] = "spawn"
"""How workers begin: a process that has used a GPU cannot be forked."""
ATTEMPTS = 2
"""How often a cell may take its process down with it before that is its result."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads within."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Local:
    """``workers`` processes of ``threads`` threads each; one worker is this process itself.

    Results depend neither on how many workers there are nor on the order in which they finish, and on the threads only
    in the last bits.
    """

    workers: int = 1
    threads: int = 1

    def __call__(self, jobs: Iterable[Job]) -> Iterator[tuple[Any, Result]]:
        """Results as they are done."""
        if self.workers > 1:
            yield from self._shared(iter(jobs))
            return
        with threads(self.threads):
            for name, task, material in jobs:
                yield name, cell.run(task, material)

    def _shared(self, jobs: Iterator[Job]) -> Iterator[tuple[Any, Result]]:
        workers: dict[Connection, Any] = {}
        busy: dict[Connection, tuple[Job, int]] = {}

        def give(job: Job | None, attempt: int = 1, connection: Connection | None = None) -> None:
            if job is None:
                return
            if connection is None:
                connection, worker = self._started()
                workers[connection] = worker
            busy[connection] = job, attempt
            connection.send(job[1:])

        try:
            for _ in range(self.workers):
                give(next(jobs, None))
            while busy:
                for ready in wait(list(busy)):
                    assert isinstance(ready, Connection)
                    job, attempt = busy.pop(ready)
                    try:
                        result = ready.recv()
                    except (EOFError, OSError):
                        code = self._ended(workers.pop(ready))
                        if attempt < ATTEMPTS:
                            give(job, attempt + 1)
                            continue
                        why = f"its process died {attempt} times, the last time with exit code {code}: out of memory?"
                        yield job[0], cell.lost(why)
                        give(next(jobs, None))
                        continue
                    yield job[0], result
                    give(next(jobs, None), connection=ready)
        finally:
            for worker in workers.values():
                worker.terminate()

    def _started(self) -> tuple[Connection, Any]:
        context: Any = multiprocessing.get_context(START)
        ours, theirs = context.Pipe()
        worker = context.Process(target=_work, args=(theirs, self.threads, list(FILES)), daemon=True)
        worker.start()
        theirs.close()
        return ours, worker

    @staticmethod
    def _ended(worker: Any) -> int | None:
        worker.join()
        code: int | None = worker.exitcode
        return code


def _work(connection: Connection, threads: int, plugin_files: list[Path]) -> None:
    """What a worker does until nobody is left to give it a cell."""
    torch.set_num_threads(threads)
    for path in plugin_files:
        add_file(path)
    try:
        while True:
            connection.send(cell.run(*connection.recv()))
    except (EOFError, OSError, KeyboardInterrupt):
        return
