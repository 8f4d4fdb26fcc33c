"""``diffmusic edit INPUT... --target TEXT``: change music by text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffmusic.cli.editing import edit_files
from diffmusic.cli.flags import ADAPTER, BATCH, DRY, MANY, OUTPUT, PROJECTION, RUN, SOLVER, Window, options, several
from diffmusic.cli.jobs import overridden
from diffmusic.errors import InputError
from diffmusic.jobs import record
from diffmusic.jobs.edit import EditJob
from diffmusic.tasks.presets import preset

option = options(EditJob())
PATH = click.Path(path_type=Path)


@click.command()
@click.argument("inputs", nargs=-1, type=PATH, metavar="INPUT...")
@option("--target", "targets", multiple=True, metavar="TEXT", help="What it is to become; repeat it for several edits.")
@option("--source", metavar="TEXT", help="What it is, for a change of just what differs.")
@option("--negative-prompt", metavar="TEXT", help="What it is not to become.")
@option("--strength", type=float, metavar="SIGMA", help="The noise level to start from: more changes more.")
@click.option(
    "--preset",
    "named",
    metavar="NAME",
    help="Strength, steps and guidance at once: subtle, bold, or paper; flags that are given beside it come first.",
)
@option("--sweep", type=int, metavar="N", help="Render N strengths, with a page to compare them by ear.")
@click.option(
    "--window", type=Window(), help="The strengths of a sweep.  [default: {:g}:{:g}]".format(*EditJob().window)
)
@click.option(
    "--directions",
    type=PATH,
    metavar="FILE",
    help="Follow directions that diffmusic explore has found, instead of a text.",
)
@click.option(
    "--amount",
    type=float,
    metavar="FLOAT",
    help="How far they are followed, in standard deviations; below 0 the other way.",
)
@click.option("--t-start", metavar="N[/STEPS]", help="The strength as the paper has it: N of 200 (or STEPS) steps.")
@option(
    "--segment",
    "segments",
    multiple=True,
    metavar="START:END[@SIGMA][=TEXT]",
    help="Change only this stretch, in seconds or as m:ss-m:ss; each with a strength and a target of its own if need "
    "be.",
)
@option(
    "--hold",
    type=float,
    metavar="FLOAT",
    help="How firmly the rest is held while a segment changes: 1 keeps it, "
    "0.025 lets the context drift (the paper's). The file outside is kept in any case.",
)
@option("--fade", type=float, metavar="SECONDS", help="Soft edges of a segment, inside it.")
@option("--samples", type=int, metavar="N", help="Different edits to draw for each target.")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="OUT",
    help="Where to write; a folder for several inputs.  [default: NAME.edited.EXT]",
)
@several(option, SOLVER)
@option("--guidance", type=float, metavar="FLOAT", help="Weight of the target (classifier-free guidance).")
@option("--source-guidance", type=float, metavar="FLOAT", help="Weight of the source.")
@several(option, PROJECTION)
@option("--steps", type=int, metavar="N", help="Noise levels from the strength down.")
@several(option, BATCH, ADAPTER, OUTPUT, MANY, RUN, DRY)
def edit(inputs: tuple[Path, ...], **given: Any) -> None:
    """Change recordings: say what it is to become, and for a finer change what it is.

    \b
    diffmusic edit song.wav --source "a piano" --target "a banjo" -o banjo.wav
    diffmusic edit song.wav --target "a choir" --segment 1:03-1:05.5
    diffmusic edit song.wav --target "a banjo" --sweep 5         strengths to compare on one page
    diffmusic edit song.wav --directions found/directions.safetensors --amount -1.5
    diffmusic edit album/ --target "a choir" -o sung/            every file of a folder
    diffmusic edit --config banjo.wav.json -o again.wav          repeat a run
    """
    recorded = record.load(given["config"], "edit") if given["config"] else None
    job = record.job(recorded, EditJob) if recorded else EditJob()
    given = _preset(_directions(given, job), job)
    job = overridden(job, given)
    inputs = inputs or record.inputs(recorded)[:1]
    if not inputs:
        raise InputError("give the recording to edit, or --config RUN.json")
    edit_files(inputs, job, t_start(given["t_start"]) if given["t_start"] else None, given)


def _directions(given: dict[str, Any], job: EditJob) -> dict[str, Any]:
    """Turn ``--directions`` and ``--amount`` into the editor that follows directions, under no text unless given."""
    settings = [f"{key}={given[key]}" for key in ("directions", "amount") if given[key] is not None]
    if given["directions"] is not None:
        given = given | {"solver": given["solver"] or "posterior-pc", "targets": given["targets"] or ("",)}
    if settings and (given["solver"] or job.solver) != "posterior-pc":
        raise InputError("--directions and --amount are for directions: leave --solver out, or take posterior-pc")
    return given | {"settings": (*settings, *given["settings"])}


def _preset(given: dict[str, Any], job: EditJob) -> dict[str, Any]:
    """Fill in the values of ``--preset`` where no flag gives another."""
    if given["named"] is None:
        return given
    chosen = preset(given["named"], given["solver"] or job.solver)
    if given["strength"] is not None or given["t_start"] is not None:
        chosen = {key: value for key, value in chosen.items() if key not in ("strength", "t_start")}
    return given | {key: value for key, value in chosen.items() if given[key] is None}


def t_start(text: str) -> tuple[int, int]:
    """Parse ``100`` or ``100/200``. Raises InputError for anything else."""
    step, _, of = text.partition("/")
    try:
        return int(step), int(of or 200)
    except ValueError:
        raise InputError(f"--t-start {text!r}: write N or N/STEPS, such as 100/200") from None
