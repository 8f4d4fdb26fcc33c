"""``diffmusic models``: the backbones, their weights, their costs, and how to get them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import click

from diffmusic.cli.listing import mention_broken, show, table
from diffmusic.errors import InputError, suggestion
from diffmusic.models import hub
from diffmusic.plugins import Checkpoint, Spec, registry

SPEED = 0.09
"""TFLOP a second of one CPU core: a guided step of MusicLDM, 5.7 TFLOP, took 63 s (benchmarks/README.md)."""

RUNTIME = 0.5
"""GB of memory for Python and its libraries."""


class _Models(click.Command):
    """``models``, of which ``models check`` is a command of its own."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["check"]:
            from diffmusic.cli.models_check import check

            return check.make_context(f"{info_name} check", args[1:], parent=parent, **extra)
        return super().make_context(info_name, args, parent=parent, **extra)


@click.command(cls=_Models)
@click.argument("words", nargs=-1, metavar="[NAME | pull NAME | check NAME]")
@click.option("--estimate", is_flag=True, help="What a run of NAME would take: disk, memory, work. Downloads nothing.")
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Length of the excerpt, for --estimate.")
@click.option("--steps", type=int, default=25, show_default=True, help="Noise levels, for --estimate.")
@click.option("--allow-pickle", is_flag=True, help="Let pull take pickled weights where there are no safetensors.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(
    words: tuple[str, ...], estimate: bool, seconds: float, steps: int, allow_pickle: bool, as_json: bool
) -> None:
    """List the backbones (the priors) and their published weights, show one by NAME, or download it.

    \b
    diffmusic models                                    what there is, and whether the weights are here
    diffmusic models audioldm2 --estimate --seconds 10  what it would take, before a byte is downloaded
    diffmusic models pull audioldm2                     download it; cvssp/audioldm2-large chooses another one
    diffmusic models check my-checkpoint/ --quick       measure it, and find which solver to use; see its --help
    """
    if words[:1] == ("pull",):
        if len(words) != 2:
            raise InputError("say which: diffmusic models pull NAME")
        known = _find(words[1])
        repository = known.repository if known else words[1]
        if not hub.is_repository(repository):
            raise InputError(f"{words[1]!r} is no model that can be downloaded.{suggestion(words[1], _names())}")
        click.echo(f"{repository} is in {hub.pull(repository, allow_pickle)}")
    elif len(words) > 1:
        raise InputError(f"one name at a time, not {' '.join(words)!r}")
    elif estimate:
        if not words:
            raise InputError("say of which model: diffmusic models NAME --estimate")
        if not 0 < seconds < 3600 or not 1 <= steps <= 1000:
            raise InputError("--seconds must lie between 0 and 3600, --steps between 1 and 1000")
        known = _find(words[0])
        if known is None:
            raise InputError(f"nothing is known of the weights of {words[0]!r}.{suggestion(words[0], _names())}")
        facts = estimated(known, seconds, steps)
        click.echo(json.dumps(facts) if as_json else "\n".join(_told(facts)))
    elif words:
        name = next((name for name, _, each in _rows() if each and each.repository == words[0]), words[0])
        show("backbone", name)
        rows = [row for row in _rows() if row[0] == name]
        published = [_line(*row)[1:6] for row in rows if row[2]]
        if published:
            click.echo("\nPublished weights")
            table([["", *row] for row in published])
        _say_licences(rows)
    elif as_json:
        click.echo(json.dumps([_plain(*row) for row in _rows()]))
    else:
        table([_line(*row) for row in _rows()])
        _say_licences(_rows())
        mention_broken()


def _rows() -> list[tuple[str, Spec, Checkpoint | None]]:
    """List every backbone with each of its checkpoints, or with none."""
    specs = registry().components("backbone").items()
    return [(name, spec, each) for name, spec in specs for each in (spec.checkpoints or (None,))]


def _licence(spec: Spec, checkpoint: Checkpoint | None) -> tuple[str, str]:
    """The licence of weights, and where it is stated."""
    return (checkpoint.licence, checkpoint.licence_source) if checkpoint else (spec.licence, spec.stated)


def _say_licences(rows: Sequence[tuple[str, Spec, Checkpoint | None]]) -> None:
    """Say which weights have which licence, and where that is stated."""
    known = [(each.repository if each else name, *_licence(spec, each)) for name, spec, each in rows]
    stated = [["", *row] for row in known if row[1]]
    if stated:
        click.echo("\nLicences, where they are stated")
        table(stated)


def _names() -> list[str]:
    return [each.repository for _, _, each in _rows() if each] + [name for name, _, each in _rows() if each]


def _find(name: str) -> Checkpoint | None:
    """Find the checkpoint of a repository, or the first of a backbone."""
    return next((each for known, _, each in _rows() if each and name in (known, each.repository)), None)


def _present(checkpoint: Checkpoint | None) -> str:
    if checkpoint is None:
        return "–"
    return "here" if hub.cached(checkpoint.repository) else "gated" if checkpoint.gated else "to pull"


def _line(name: str, spec: Spec, checkpoint: Checkpoint | None) -> list[str]:
    if checkpoint is None:
        return [name, "–", "", "", spec.licence, "", spec.summary]
    audio = f"{checkpoint.sample_rate / 1000:g} kHz {'stereo' if checkpoint.channels == 2 else 'mono'}"
    size = f"{checkpoint.bytes / 1e9:.1f} GB"
    return [name, checkpoint.repository, size, audio, checkpoint.licence, _present(checkpoint), spec.summary]


def _plain(name: str, spec: Spec, checkpoint: Checkpoint | None) -> dict[str, Any]:
    facts = {"name": name, "summary": spec.summary, "tags": spec.words, "target": spec.target}
    if checkpoint is None:
        return facts | {"checkpoint": None, "licence": spec.licence, "stated": spec.stated}
    return facts | {
        "checkpoint": dataclasses.asdict(checkpoint) | {"stated": checkpoint.licence_source},
        "present": hub.cached(checkpoint.repository) is not None,
    }


def estimated(checkpoint: Checkpoint, seconds: float, steps: int) -> dict[str, Any]:
    """Estimate the needs of a checkpoint: figures measured at its training length, taken as linear in time.

    An excerpt is no longer than the training length, and a prompt doubles the passes of the network.
    """
    seconds = min(seconds, checkpoint.excerpt_seconds)
    facts: dict[str, Any] = {
        "repository": checkpoint.repository,
        "seconds": seconds,
        "steps": steps,
        "download_gb": 0.0 if hub.cached(checkpoint.repository) else checkpoint.bytes / 1e9,
    }
    # Prompts are read with every part in memory, and before there are activations.
    weights = RUNTIME + checkpoint.bytes / 1e9
    if checkpoint.memory and checkpoint.sampling:
        activations = checkpoint.memory[0] + checkpoint.memory[1] * seconds
        facts["memory_gb"] = max(weights, RUNTIME + 4e-3 * checkpoint.sampling + activations)
    else:
        facts["memory_at_least_gb"] = weights
    if checkpoint.gflop:
        network, _, decoder = checkpoint.gflop
        moves = 2 * steps - 1
        facts["tflop"] = moves * (network + decoder) * seconds / 1e3
        facts["tflop_with_prompt"] = moves * (2 * network + decoder) * seconds / 1e3
        facts["core_minutes"] = facts["tflop"] / SPEED / 60
    return facts


def _told(facts: dict[str, Any]) -> list[str]:
    lines = [
        f"{facts['repository']}, an excerpt of {facts['seconds']:g} s, {facts['steps']} steps of diffmusic",
        f"  to download  {facts['download_gb']:.1f} GB"
        if facts["download_gb"]
        else "  to download  nothing: it is here",
    ]
    lines.append(
        f"  memory       {facts['memory_gb']:.1f} GB"
        if "memory_gb" in facts
        else f"  memory       at least {facts['memory_at_least_gb']:.1f} GB, the weights; more has not been measured"
    )
    if "tflop" not in facts:
        return [*lines, "  work         has not been measured"]
    return [
        *lines,
        f"  work         {facts['tflop']:.0f} TFLOP, {facts['tflop_with_prompt']:.0f} with a prompt",
        f"  on a CPU     {facts['core_minutes']:.0f} minutes of one core",
    ]
