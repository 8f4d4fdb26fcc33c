"""Work on many files: every one is tried, in this process, in several, or on a Ray cluster."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from diffmusic.cli.messages import flagged
from diffmusic.cli.report import report
from diffmusic.cli.terminal import note, progress_bar, say
from diffmusic.errors import DiffmusicError, InputError, reason
from diffmusic.jobs.edit import PreparedEdit
from diffmusic.jobs.restore import Prepared
from diffmusic.prior.progress import ProgressCallback

AnyPrepared = TypeVar("AnyPrepared", Prepared, PreparedEdit)


class Item(Protocol):
    """Work on one file, in values that another process understands; it names the file."""

    @property
    def path(self) -> Path: ...

    def run(self, progress: ProgressCallback | None = None) -> dict[str, Any]:
        """Do it: write the result, and return its run record."""
        ...


@dataclass(frozen=True)
class Answer:
    """What came of one file: its run record, or what went wrong; and the notes of another process."""

    document: dict[str, Any] | None = None
    error: str = ""
    refused: bool = False
    notes: str = ""


@dataclass
class Batch:
    """Files that are worked on one after another or side by side; in a batch of several, whatever goes wrong with one
    is a line, and the others are tried."""

    total: int
    as_json: bool = False
    failed: list[tuple[Path, bool]] = field(default_factory=list)
    written: int = 0

    def attempt(self, paths: Iterable[Path], do: Callable[[Path], Any]) -> list[Any]:
        """Return what ``do`` makes of each that it does not fail for."""
        made = []
        for path in paths:
            try:
                made.append(do(path))
            except Exception as error:
                if self.total == 1:
                    raise
                self._fail(path, _said(error), isinstance(error, InputError))
        return made

    def run(self, items: Sequence[Item], workers: int, threads: int | None, engine: str, address: str | None) -> None:
        """Do the work, and tell of each file as soon as it is done.

        Raises:
            KeyboardInterrupt: With what is written, for the user.
        """
        _prior.clear()
        with progress_bar(max(1, len(items))) as bar:
            try:
                if engine == "local" and workers == 1:
                    self.attempt([each.path for each in items], self._here(items, threads, bar))
                else:
                    for number, (place, answer) in enumerate(_elsewhere(items, workers, threads, engine, address)):
                        bar(number + 1, items[place].path.name)
                        self._answered(items[place].path, answer)
            except KeyboardInterrupt:
                told = f"{self.written} of {self.total} files are written" if self.total > 1 else ""
                raise KeyboardInterrupt(told) from None
            finally:
                _prior.clear()

    def _here(self, items: Sequence[Item], threads: int | None, bar: Any) -> Callable[[Path], None]:
        left = iter(enumerate(items))

        def next_one(path: Path) -> None:
            number, item = next(left)
            with _threads(threads):
                self._answered(path, Answer(item.run(bar(number, path.name))))

        return next_one

    def _answered(self, path: Path, answer: Answer) -> None:
        if answer.notes:
            say(answer.notes, err=True)
        if answer.document is None:
            self._fail(path, answer.error, answer.refused)
            return
        self.written += 1
        report(answer.document, self.as_json)

    def _fail(self, path: Path, told: str, refused: bool) -> None:
        self.failed.append((path, refused))
        say(f"error: {'' if str(path) in told else f'{path}: '}{told}", err=True)

    def end(self, word: str) -> None:
        """Sum up. Raises InputError or DiffmusicError where a file failed."""
        if self.total > 1 and not self.as_json:
            left = self.total - self.written - len(self.failed)
            say(f"{self.written} of {self.total} files {word}{f', {left} left alone' if left else ''}")
        if self.failed:
            names = ", ".join(str(path) for path, _ in self.failed)
            message = f"{len(self.failed)} of {self.total} files failed ({names}); the others are written"
            raise InputError(message) if self.failed[0][1] else DiffmusicError(message)


def _said(error: Exception) -> str:
    return flagged(error) if isinstance(error, DiffmusicError) else reason(error)


def _threads(count: int | None) -> Any:
    import torch

    from diffmusic.bench.local import threads

    return threads(count or torch.get_num_threads())


def _elsewhere(
    items: Sequence[Item], workers: int, count: int | None, engine: str, address: str | None
) -> Iterator[tuple[int, Answer]]:
    """Yield what comes of items, by their number, from other processes that have as many threads as this one."""
    import torch

    from diffmusic.bench.local import Local
    from diffmusic.bench.ray import Cluster

    count = count or torch.get_num_threads()
    jobs = ((number, item) for number, item in enumerate(items))
    gone = partial(Answer, None)
    if engine == "ray":
        yield from Cluster(address, threads=count, run=answer, lost=gone)(jobs)
    else:
        yield from Local(min(workers, len(items)) if len(items) > 1 else 2, count, answer, gone)(jobs)


def answer(item: Item) -> Answer:
    """Do an item in a process of its own. Never raises: a failure is returned, and what is said besides."""
    told = io.StringIO()
    warnings.showwarning = note
    document, wrong, refused = None, "", False
    with redirect_stderr(told):
        try:
            document = item.run()
        except Exception as error:
            wrong, refused = _said(error), isinstance(error, InputError)
    return Answer(document, wrong, refused, told.getvalue().strip())


_prior: list[tuple[Any, Any]] = []


def sharing(prepared: AnyPrepared) -> AnyPrepared:
    """Give a job the prior of the one before in this process, where it is the same; ``keep`` notes it."""
    if _prior and _prior[0][0] == _key(prepared):
        prepared.__dict__["backbone"] = _prior[0][1]
    return prepared


def keep(prepared: Prepared | PreparedEdit) -> None:
    """Note the prior of a job that is done."""
    if prepared.__dict__.get("backbone") is not None:
        _prior[:] = [(_key(prepared), prepared.backbone)]


def _key(prepared: Prepared | PreparedEdit) -> Any:
    job = prepared.job
    return prepared.access, job.model, job.device, job.dtype, job.adapter
