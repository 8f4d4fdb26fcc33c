"""``--dry-run``: what a run will take. A stand-in counts the passes of the prior, which itself is timed."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from diffmusic.bench.cost import PASSES, checkpoint_of, pass_seconds
from diffmusic.bench.fake_backbone import FakeBackbone
from diffmusic.bench.progress import duration
from diffmusic.cli.terminal import say
from diffmusic.errors import DiffmusicError, Diverged, InputError
from diffmusic.jobs import record
from diffmusic.jobs.edit import PreparedEdit
from diffmusic.jobs.restore import Prepared
from diffmusic.prior.backbone import Backbone
from diffmusic.solver.contract import DirectSolver

AnyPrepared = TypeVar("AnyPrepared", Prepared, PreparedEdit)


@dataclass(frozen=True)
class _Counting(FakeBackbone):
    """Stand-in with the prompts of the prior: guidance takes one pass or two by what they are."""

    prior: Backbone | None = None

    def embed(self, prompt: str | None) -> Any:
        return self.prior.embed(prompt) if self.prior else super().embed(prompt)


def estimate(prepared: AnyPrepared, run: Callable[[AnyPrepared], Mapping[str, Any]]) -> dict[str, Any]:
    """Estimate what a prepared job will take.

    The whole job runs on a stand-in that answers at once and counts what it is asked: that tells the passes, and the
    time of all that is not the prior. The prior, where its weights are here, is loaded and timed on one excerpt; what
    else the machine does meanwhile is in that time.

    Args:
        prepared: The job.
        run: Runs a job and returns its record.

    Returns:
        ``windows``; ``passes``, by their kind; ``seconds``, ``memory_bytes`` of this process with the prior in it, both
        None where the weights are not here; ``download_gb``.

    Raises:
        InputError: The job cannot be run.
        DiffmusicError: The stand-in leads the solver astray, so that nothing can be said.
    """
    if isinstance(prepared, Prepared) and isinstance(prepared.solver, DirectSolver):
        return {
            "windows": 0,
            "passes": dict.fromkeys(PASSES, 0),
            "seconds": None,
            "memory_bytes": None,
            "download_gb": 0.0,
        }
    started = time.perf_counter()
    backbone, known = _here(prepared), checkpoint_of(prepared.job.model)
    loading = time.perf_counter() - started
    like: Any = backbone or known
    changed: dict[str, Any] = {"left": frozenset()} if isinstance(prepared, Prepared) else {}
    counting = dataclasses.replace(prepared, **changed)
    counting.__dict__["backbone"] = _Counting(like.sample_rate, like.channels, like.excerpt_seconds, backbone)
    try:
        with warnings.catch_warnings():  # what is said of the stand-in's estimate is not true of the prior's
            warnings.simplefilter("ignore")
            document = run(counting)
    except Diverged as error:
        raise DiffmusicError(
            f"what it takes cannot be told beforehand: with a stand-in for the prior {error}"
        ) from None
    passes = {name: int(document["costs"][name]) for name in PASSES}
    facts = {"windows": len(document.get("windows", ())) or 1, "passes": passes, "download_gb": 0.0}
    if backbone is None:
        return facts | {"seconds": None, "memory_bytes": None, "download_gb": known.bytes / 1e9 if known else 0.0}
    if not any(passes.values()):
        return facts | {"windows": 0, "seconds": document["costs"]["seconds"], "memory_bytes": record.peak_memory()}
    each = pass_seconds(backbone, backbone.excerpt_seconds)
    seconds = loading + document["costs"]["seconds"] + sum(passes[name] * each[name] for name in PASSES)
    return facts | {"seconds": round(seconds, 3), "memory_bytes": record.peak_memory()}


def tell(path: object, facts: Mapping[str, Any], as_json: bool) -> None:
    """Print an estimate: one JSON line, or two lines for a reader."""
    if as_json:
        click.echo(record.line({"input": str(path), **facts}))
        return
    network, gradients, decoder, _ = (facts["passes"][name] for name in PASSES)
    if not network and facts["seconds"] is None and not facts["download_gb"]:
        say(f"{path}: no pass of a prior; nothing was written")
        return
    windows = f"{facts['windows']} window{'s' * (facts['windows'] != 1)}"
    passes = f"{network} passes of the network ({gradients} with gradient), {decoder} of the decoder"
    say(f"{path}: {windows}, {passes}; nothing was written")
    if facts["seconds"] is not None:
        say(f"  about {duration(facts['seconds'])} and {facts['memory_bytes'] / 1e9:.1f} GB on this machine")
    else:
        say(f"  the weights are not here, {facts['download_gb']:.1f} GB to download, so no pass could be timed")


def _here(prepared: Prepared | PreparedEdit) -> Backbone | None:
    """The prior of a job, where no byte of it has to be downloaded."""
    access = dataclasses.replace(prepared.access, offline=True)
    try:
        return dataclasses.replace(prepared, access=access).backbone
    except InputError:
        if checkpoint_of(prepared.job.model) is None:
            raise
        return None
