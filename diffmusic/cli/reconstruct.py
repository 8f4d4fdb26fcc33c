"""``diffmusic reconstruct INPUT``: insert its latent at a noise level, and see how much of it comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffmusic.audio.signal import Samples
from diffmusic.cli.flags import OUTPUT, RUN, SOLVER, options, several
from diffmusic.cli.jobs import access, check_results, claim, overridden, record_path, result_path, variants
from diffmusic.cli.report import encoded, leave, report
from diffmusic.cli.terminal import progress_bar
from diffmusic.errors import InputError
from diffmusic.jobs import record
from diffmusic.jobs.reconstruct import FIGURES, ReconstructJob
from diffmusic.reports.spectrograms import figure, png

DEFAULT = ReconstructJob()
PATH = click.Path(path_type=Path)
option = options(DEFAULT)


@click.command()
@click.argument("path", required=False, type=PATH, metavar="INPUT")
@click.option(
    "--level",
    "levels",
    type=float,
    multiple=True,
    metavar="SIGMA",
    help="Noise levels to put it in at; repeat it for several.",
)
@click.option(
    "--figure",
    type=click.Choice(list(FIGURES)),
    help="Redraw this figure of the paper instead: its rows and levels, on this recording.",
)
@option("--prompt", metavar="TEXT", help="What leads the walk; nothing where it is left out.")
@option("--negative-prompt", metavar="TEXT", help="What the result is not to be.")
@option("--guidance", type=float, metavar="FLOAT", help="Weight of the prompt.")
@several(option, SOLVER)
@option("--steps", type=int, metavar="N", help="Noise levels of the whole walk.")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="OUT",
    help="Where to write; the picture is OUT with .png.  [default: INPUT.reconstructed.EXT]",
)
@several(option, OUTPUT, RUN)
def reconstruct(path: Path | None, **given: Any) -> None:
    """Put the latent of a recording into a walk at given noise levels, and draw what becomes of it: how much of the
    recording a level keeps, and how much the prior makes up.

    \b
    diffmusic reconstruct sound.wav --level 1 --level 5 -o looked.wav
    diffmusic reconstruct sound.wav --figure A.1 -o figure.wav         orders against levels, as the paper has them
    """
    recorded = record.load(given["config"], "reconstruct") if given["config"] else None
    job = overridden(record.job(recorded, ReconstructJob) if recorded else DEFAULT, given)
    path = path or next(iter(record.inputs(recorded)), None)
    if path is None:
        raise InputError("give the recording to look at, or --config RUN.json")
    prepared = job.prepare(access(given))
    base = result_path(path, given["output"], "reconstructed")
    paths, picture = variants(base, ("", len(prepared.editors))), base.with_suffix(".png")
    claim([*paths, picture, record_path(paths[0])], [path, given["config"]], given)
    check_results(paths, path, given["subtype"])
    with progress_bar(1) as begin:
        recording, audio, round_trip, document = prepared.run(path, begin(0, path.name))
    rate = recording.sample_rate
    signals = dict(zip(paths, map(Samples, audio.values()), strict=True))
    contents = encoded(signals, recording, rate, Samples(recording.samples), given["subtype"])
    panels = [*audio.items(), ("the original, encoded and decoded", round_trip)]
    contents[picture] = png(figure(panels, rate, len(prepared.levels), size=(3.6, 2.2)))
    document = leave(contents, document)
    report(document, given["as_json"])
    for title, each in document["likeness"].items() if not given["as_json"] else ():
        click.echo(f"  {title}: to the original CLAP {each['clap']:.3f}, log-mel {each['log_mel']:.3f} nats")
