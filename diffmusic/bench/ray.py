"""Execution of cells on a Ray cluster: the same function on the same arguments, so the same results."""

from __future__ import annotations

import itertools
import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from diffmusic.bench import cell
from diffmusic.bench.clips import Material
from diffmusic.bench.local import Job, threads
from diffmusic.errors import InputError, reason
from diffmusic.plugins import FILES, add_file

RETRIES = 3
"""Retries of a cell whose worker or machine is lost."""


@dataclass(frozen=True)
class Cluster:
    """Ray cluster at ``address``, or one on this machine that lives as long as the run.

    Every cell takes one CPU and ``gpus`` of a GPU, and is computed by as many threads as it would be here. The clip is
    sent along: workers need this package (and the files of ``--plugin``), the weights, and what metrics measure with,
    but neither the dataset nor the results folder, which only the driver writes.
    """

    address: str | None = None
    gpus: float = 0.0
    threads: int = 1
    run: Callable[..., Any] = field(default_factory=lambda: cell.run)
    lost: Callable[[str], Any] = cell.lost

    def __call__(self, jobs: Iterable[Job]) -> Iterator[tuple[Any, Any]]:
        """Yield results as they finish. Raises InputError without Ray or a cluster."""
        try:
            import ray
        except ImportError:
            raise InputError("--engine ray needs Ray: pip install 'diffmusic[bench]'") from None
        mine = not ray.is_initialized()
        if mine:
            _reach(self.address)
            try:
                ray.init(
                    address=self.address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False
                )
            except (Exception, SystemExit) as error:  # the kind depends on what answers there instead of a cluster
                raise InputError(f"no Ray cluster at {self.address or 'this machine'}: {reason(error)}") from None
        try:
            yield from self._spread(ray, iter(jobs))
        finally:
            if mine:
                ray.shutdown()

    def _spread(self, ray: Any, jobs: Iterator[Job]) -> Iterator[tuple[Any, Any]]:
        # Exceptions of a cell are caught inside it, so Ray retries only cells whose worker was lost.
        work = ray.remote(num_cpus=1, num_gpus=self.gpus, max_retries=RETRIES)(_work)
        running: dict[Any, Any] = {}
        while True:
            # Twice as many jobs as there are slots, so that no worker waits for the next clip to be read.
            room = 2 * max(1, int(ray.cluster_resources().get("CPU", 1))) - len(running)
            for name, *arguments in itertools.islice(jobs, max(0, room)):
                running[work.remote(self.run, self.threads, list(FILES), *arguments)] = name
            if not running:
                return
            for done in ray.wait(list(running))[0]:
                name = running.pop(done)
                try:
                    yield name, ray.get(done)
                except ray.exceptions.RayError as error:
                    why = f"lost {RETRIES + 1} times with its worker: {reason(error)}"
                    yield name, self.lost(why)


def _reach(address: str | None) -> None:
    """Raise InputError if nothing answers at HOST:PORT; Ray would try for two minutes, and then end this process."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster at {address}: {reason(error)}") from None


def _work(run: Callable[..., Any], count: int, plugin_files: list[Path], *arguments: Any) -> Any:
    for path in plugin_files:
        add_file(path)
    # Ray shares arrays between processes, read-only.
    owned = [replace(each, clean=each.clean.copy()) if isinstance(each, Material) else each for each in arguments]
    with threads(count):
        return run(*owned)
