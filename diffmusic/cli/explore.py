"""``diffmusic explore INPUT -o DIR``: directions in which a recording could have been otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffmusic.audio import files
from diffmusic.audio.signal import Samples
from diffmusic.cli.flags import BATCH, OUTPUT, RUN, options, several
from diffmusic.cli.jobs import access, check_results, claim, overridden, record_path, result_path
from diffmusic.cli.report import encoded, leave, report
from diffmusic.cli.terminal import progress_bar
from diffmusic.editor.averages import kept
from diffmusic.errors import InputError
from diffmusic.jobs import outputs, record
from diffmusic.jobs.explore import ExploreJob
from diffmusic.tasks.explore import average

option = options(ExploreJob())
PATH = click.Path(path_type=Path)
NAME = "directions.safetensors"
PAGE = "listen.html"


@click.command()
@click.argument("paths", nargs=-1, type=PATH, metavar="INPUT...")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="DIR",
    help="Folder for the directions and what they sound like; it is made.  [default: NAME.directions]",
)
@option("--source", metavar="TEXT", help="What the recording is.")
@option("--components", type=int, metavar="N", help="How many directions.")
@option("--amount", type=float, metavar="FLOAT", help="How far each is followed, in standard deviations.")
@option(
    "--at",
    type=float,
    metavar="SIGMA",
    help="Follow the directions of this one noise level at all of them. [default: each level its own]",
)
@option("--until", type=float, metavar="SIGMA", help="Add nothing below this noise level.")
@option("--strength", type=float, metavar="SIGMA", help="The noise level to start from.")
@option("--steps", type=int, metavar="N", help="Noise levels from the strength down.")
@option("--segment", "segments", multiple=True, metavar="START:END", help="Change only these seconds.")
@option("--fade", type=float, metavar="SECONDS", help="Soft edges of a segment, inside it.")
@option("--products", type=int, metavar="N", help="At most so many Jacobian products a level.")
@option("--tolerance", type=float, metavar="FLOAT", help="Residual at which a level is done.")
@option("--step", type=float, metavar="FLOAT", help="Length of the finite differences.")
@click.option("--central/--no-central", default=None, help="Central differences: twice the cost, a tenth of the error.")
@option("--source-guidance", type=float, metavar="FLOAT", help="Weight of the source; only 1 makes a covariance.")
@click.option(
    "--average",
    "averaged",
    is_flag=True,
    help="Write only the mean eigenvalues of all INPUTs, and keep them for this model (-s averages=kept).",
)
@click.option(
    "--page/--no-page",
    default=True,
    help="A page with every direction and a random one, for a blind test (the default).",
)
@several(option, BATCH, OUTPUT, RUN)
def explore(paths: tuple[Path, ...], averaged: bool, page: bool, **given: Any) -> None:
    """Find the directions that matter most in which a recording could have been otherwise, and hear each both ways.

    \b
    diffmusic explore song.wav --components 3 -o directions
    diffmusic edit song.wav --target "" --solver posterior-pc -s amount=1.5 -s weights=0,1 \\
        -s directions=directions/directions.safetensors        follow them again, as far as you like
    diffmusic explore *.wav --average -o values                mean eigenvalues, for -s averages=kept
    """
    recorded = record.load(given["config"], "explore") if given["config"] else None
    job = record.job(recorded, ExploreJob) if recorded else ExploreJob()
    job = overridden(job, {**given, "settings": ()})
    prepared = job.prepare(access(given))
    paths = paths or record.inputs(recorded)
    if not paths or (len(paths) > 1 and not averaged):
        raise InputError("give one recording to explore, or several with --average")
    folder = given["output"] or paths[0].with_name(f"{paths[0].stem}.directions")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"output {folder} is a file; give a folder")
    suffix = result_path(paths[0], None, "directions").suffix
    ways = [(number, way) for number in range(1, job.components + 1) for way in ("plus", "minus")]
    names = [] if averaged else [folder / f"pc{number}-{way}{suffix}" for number, way in ways]
    if paths[0].is_file():
        for name in names:
            files.container(name)
    html = folder / PAGE if page and not averaged else None
    planned = [folder / NAME, record_path(folder / NAME), *names, *([html] if html else [])]
    claim(planned, paths, given)
    check_results(names, paths[0], given["subtype"])
    results = []
    with progress_bar(len(paths)) as begin:
        for number, path in enumerate(paths):
            results.append(prepared.run(path, begin(number, path.name), render=not averaged, listen=html is not None))
    directions = average([each.directions for each in results]) if averaged else results[0].directions
    contents: dict[Path, outputs.Content] = {folder / NAME: directions.encode()}
    if averaged and (sha256 := str(prepared.backbone.describe().get("sha256", ""))):
        contents[kept(sha256)] = directions.encode()
    recording = results[0].recording
    audio = dict(zip(names, map(Samples, results[0].audio), strict=True))
    before = Samples(recording.samples)
    contents |= encoded(audio, recording, recording.sample_rate, before, given["subtype"])
    if html and results[0].page:
        contents[html] = results[0].page
    folder.mkdir(parents=True, exist_ok=True)
    report(leave(contents, results[0].document | {"inputs": record.files(paths)}), given["as_json"])
