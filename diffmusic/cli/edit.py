"""``diffmusic edit INPUT --target TEXT``: change music by text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffmusic.cli.estimate import estimate, tell
from diffmusic.cli.flags import ADAPTER, BATCH, DRY, OUTPUT, PROJECTION, RUN, SOLVER, Window, options, several
from diffmusic.cli.jobs import access, check_results, claim, overridden, record_path, result_path, variants
from diffmusic.cli.report import encoded, leave, report
from diffmusic.cli.terminal import progress_bar
from diffmusic.errors import InputError
from diffmusic.jobs import record
from diffmusic.jobs.edit import EditJob
from diffmusic.jobs.edit_page import sweep_page
from diffmusic.tasks.presets import preset

option = options(EditJob())
PATH = click.Path(path_type=Path)


@click.command()
@click.argument("path", required=False, type=PATH, metavar="INPUT")
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
@click.option("-o", "--output", type=PATH, metavar="OUT", help="Where to write.  [default: NAME.edited.EXT]")
@several(option, SOLVER)
@option("--guidance", type=float, metavar="FLOAT", help="Weight of the target (classifier-free guidance).")
@option("--source-guidance", type=float, metavar="FLOAT", help="Weight of the source.")
@several(option, PROJECTION)
@option("--steps", type=int, metavar="N", help="Noise levels from the strength down.")
@several(option, BATCH, ADAPTER, OUTPUT, RUN, DRY)
def edit(path: Path | None, **given: Any) -> None:
    """Change a recording: say what it is to become, and for a finer change what it is.

    \b
    diffmusic edit song.wav --source "a piano" --target "a banjo" -o banjo.wav
    diffmusic edit song.wav --target "a choir" --segment 1:03-1:05.5
    diffmusic edit song.wav --target "a banjo" --sweep 5         strengths to compare on one page
    diffmusic edit song.wav --directions found/directions.safetensors --amount -1.5
    diffmusic edit --config banjo.wav.json -o again.wav          repeat a run
    """
    recorded = record.load(given["config"], "edit") if given["config"] else None
    job = record.job(recorded, EditJob) if recorded else EditJob()
    given = _preset(_directions(given, job), job)
    job = overridden(job, given)
    path = path or next(iter(record.inputs(recorded)), None)
    if path is None:
        raise InputError("give the recording to edit, or --config RUN.json")
    prepared = job.prepare(access(given))
    counts = ("target", max(1, len(job.targets))), ("strength", job.sweep or 1), ("", job.samples)
    base = result_path(path, given["output"], "edited")
    paths = variants(base, *counts)
    html = base.with_suffix(".html") if job.sweep else None
    claim([*paths, record_path(paths[0]), *([html] if html else [])], [path, given["config"]], given)
    check_results(paths, path, given["subtype"])
    if given["t_start"]:
        prepared = prepared.start_at(*t_start(given["t_start"]))
    if given["dry_run"]:
        tell(path, estimate(prepared, lambda job: job.run(path)[-1]), given["as_json"])
        return
    with progress_bar(1) as begin:
        like, signal, result, document = prepared.run(path, begin(0, path.name))
    contents = encoded(dict(zip(paths, result.draws, strict=True)), like, like.sample_rate, signal, given["subtype"])
    if html:
        contents[html] = sweep_page(path.name, signal, result, document)
    report(leave(contents, document), given["as_json"])


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
