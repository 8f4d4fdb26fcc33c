"""Execution of cells, or of other jobs, on this machine: in this process, or in several worker processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

import torch

from diffmusic.bench import cell
from diffmusic.plugins import FILES, add_file

Job = tuple[Any, ...]
"""Key of the result, and the arguments of the function that makes it: those of a cell by default."""
Engine = Callable[[Iterable[Job]], Iterator[tuple[Any, Any]]]

START: Literal["spawn"] = "spawn"
"""Start method of workers: a process that has used a GPU cannot be forked."""
_PATIENCE = 10.0  # seconds for a worker to put away what it has begun
ATTEMPTS = 2
"""Tries of a cell whose process dies, before that is its result."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Set the number of torch threads within a block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Local:
    """Engine of ``workers`` processes with ``threads`` threads each; with one worker, this process itself.

    Results depend neither on the number of workers nor on the order in which they finish, and on the number of threads
    only in the last bits.

    Attributes:
        run: What makes a result, a function of a module; it does not raise.
        lost: What makes a result where the process died, of what there is to say.
    """

    workers: int = 1
    threads: int = 1
    run: Callable[..., Any] = field(default_factory=lambda: cell.run)
    lost: Callable[[str], Any] = cell.lost

    def __call__(self, jobs: Iterable[Job]) -> Iterator[tuple[Any, Any]]:
        """Yield results as they finish."""
        if self.workers > 1:
            yield from self._shared(iter(jobs))
            return
        with threads(self.threads):
            for name, *arguments in jobs:
                yield name, self.run(*arguments)

    def _shared(self, jobs: Iterator[Job]) -> Iterator[tuple[Any, Any]]:
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
                        yield job[0], self.lost(why)
                        give(next(jobs, None))
                        continue
                    yield job[0], result
                    give(next(jobs, None), connection=ready)
        finally:
            for connection in workers:
                connection.close()  # one that waits for work ends by itself
            for worker in workers.values():
                worker.terminate()
            for worker in workers.values():
                worker.join(_PATIENCE)
                worker.kill()

    def _started(self) -> tuple[Connection, Any]:
        context: Any = multiprocessing.get_context(START)
        ours, theirs = context.Pipe()
        worker = context.Process(target=_work, args=(theirs, self.run, self.threads, list(FILES)), daemon=True)
        worker.start()
        theirs.close()
        return ours, worker

    @staticmethod
    def _ended(worker: Any) -> int | None:
        worker.join()
        code: int | None = worker.exitcode
        return code


def _work(connection: Connection, run: Callable[..., Any], threads: int, plugin_files: list[Path]) -> None:
    """Run jobs in a worker until the connection closes."""
    torch.set_num_threads(threads)
    for path in plugin_files:
        add_file(path)
    try:
        while True:
            arguments = connection.recv()
            # Told to end while it works, it puts away what it has begun, as it does for Ctrl-C.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            result = run(*arguments)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            connection.send(result)
    except (EOFError, OSError, KeyboardInterrupt):
        return
