"""``diffmusic fuse ORIGINAL REFERENCE --prompt TEXT``: fuse two sounds into one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from diffmusic.audio.resample import resample
from diffmusic.audio.signal import Samples
from diffmusic.cli.flags import BATCH, OUTPUT, RUN, SOLVER, Window, options, several
from diffmusic.cli.jobs import access, check_results, claim, overridden, record_path, result_path, variants
from diffmusic.cli.report import encoded, leave, report
from diffmusic.cli.terminal import progress_bar
from diffmusic.errors import InputError
from diffmusic.jobs import record
from diffmusic.jobs.fuse import FusionJob, Fusions
from diffmusic.reports.listening_page import page
from diffmusic.reports.spectrograms import spectrograms

DEFAULT = FusionJob()
PATH = click.Path(path_type=Path)
option = options(DEFAULT)


@click.command()
@click.argument("given_paths", nargs=-1, type=PATH, metavar="ORIGINAL REFERENCE")
@option("--prompt", metavar="TEXT", help="Text that the reference is learnt under, and made from.")
@option("--negative-prompt", metavar="TEXT", help="What the result should not sound like.")
@option(
    "--level",
    type=float,
    metavar="SIGMA",
    help="Noise level at which the original enters: 0 gives the original, a high level the reference.",
)
@option("--sweep", type=int, metavar="N", help="Make N fusions across the window, with a picture and a listening page.")
@click.option(
    "--window", type=Window(), help="The noise levels of a sweep.  [default: {:g}:{:g}]".format(*DEFAULT.window)
)
@click.option("-o", "--output", type=PATH, metavar="OUT", help="Where to write.  [default: ORIGINAL.fused.EXT]")
@click.option(
    "--finetune/--no-finetune", default=None, help="Fine-tune on the reference (the default), or use the prompt alone."
)
@option("--finetune-steps", type=int, metavar="N", help="Largest number of fine-tuning steps.")
@option("--finetune-rate", type=float, metavar="FLOAT", help="Learning rate.")
@option("--rank", type=int, metavar="N", help="Rank of the adapter (LoRA).")
@option(
    "--adapter",
    type=click.Path(),
    metavar="FILE",
    help="Adapter of an earlier run, OUT.adapter.safetensors, instead of fine-tuning again.",
)
@several(option, SOLVER)
@option("--guidance", type=float, metavar="FLOAT", help="Weight of the prompt (classifier-free guidance).")
@option("--steps", type=int, metavar="N", help="Noise levels of the whole walk.")
@click.option("--plot", type=PATH, metavar="PNG", help="Draw spectrograms of all results.  [a sweep: OUT.png]")
@several(option, BATCH, OUTPUT, RUN)
def fuse(given_paths: tuple[Path, ...], **given: Any) -> None:
    """Fuse a sound with a reference. The prior is fine-tuned on the reference, then sampled under its prompt, and the
    original enters at one noise level.

    \b
    diffmusic fuse rain.wav organ.wav --prompt "a church organ" -o fused.wav
    diffmusic fuse rain.wav organ.wav --prompt "a church organ" --sweep 8 -o fused.wav
    diffmusic fuse hail.wav organ.wav --adapter fused.adapter.safetensors -o again.wav     learnt before
    diffmusic fuse --config fused.wav.json -o again.wav                                   repeat a run
    """
    recorded = record.load(given["config"], "fuse") if given["config"] else None
    job = overridden(record.job(recorded, FusionJob) if recorded else DEFAULT, given)
    original, reference = _pair(given_paths, recorded)
    prepared = job.prepare(access(given))
    base = result_path(original, given["output"], "fused")
    audio = variants(base, ("", job.sweep or 1))
    plot = given["plot"] or (base.with_suffix(".png") if job.sweep else None)
    if plot and plot.suffix.lower() != ".png":
        raise InputError(f"--plot {plot}: the picture is a PNG; give a name that ends in .png")
    html = base.with_suffix(".html") if job.sweep else None
    learnt = base.with_suffix(".adapter.safetensors") if job.learns else None
    planned = [*audio, record_path(audio[0]), *(path for path in (plot, html, learnt) if path)]
    used = [original, reference, given["config"], Path(job.adapter) if job.adapter else None]
    claim(planned, used, given)
    check_results(audio, original, given["subtype"])
    with progress_bar(1) as begin:
        made = prepared.run(original, reference, begin(0, original.name))
    signals = dict(zip(audio, map(Samples, made.result.audio), strict=False))
    contents = encoded(signals, made.given, made.given.sample_rate, Samples(made.given.samples), given["subtype"])
    if learnt and made.adapter:
        contents[learnt] = made.adapter.encode()
    if plot:
        contents[plot] = picture = _picture(made)
        if html:
            contents[html] = page(f"{original.name} and {reference.name}", _text(made), made.tracks, picture)
    document = leave(contents, made.document)
    report(document, given["as_json"])
    if not given["as_json"]:
        _tell(made)


def _pair(paths: tuple[Path, ...], recorded: dict[str, Any] | None) -> tuple[Path, Path]:
    """Return the original and the reference. Raises InputError for more or fewer paths."""
    paths = paths or record.inputs(recorded)[:2]
    if len(paths) != 2:
        raise InputError("give two recordings: ORIGINAL REFERENCE, or --config RUN.json")
    return paths[0], paths[1]


def _picture(made: Fusions) -> bytes:
    rate, length = made.given.sample_rate, made.given.samples.shape[-1]
    return spectrograms([(track.title, resample(track.audio, rate, rate, length)) for track in made.tracks], rate)


def _text(made: Fusions) -> str:
    job = made.document["job"]
    return (
        f"Prompt: {job['prompt']!r}. Model {job['model']}, {job['steps']} steps, seed {job['seed']}. The original, as "
        "the model's encoder and decoder give it back, is put into the walk at the noise level sigma; CLAP is the "
        "cosine of the small CLAP's embeddings, log-mel the mean difference in nats."
    )


def _tell(made: Fusions) -> None:
    learning = made.document["learning"]
    if learning:
        losses = learning["losses"]
        spent = f"{learning['network_backward']} steps, loss {losses[0]:.3f} to {min(losses):.3f}"
        click.echo(f"  learnt the reference: {spent}")
    for track in made.tracks[:-1]:
        numbers = track.numbers
        click.echo(
            f"  {track.title}: CLAP to original {numbers['CLAP to original']:.3f}, to reference "
            f"{numbers['CLAP to reference']:.3f}; log-mel {numbers['log-mel from original']:.3f} and "
            f"{numbers['log-mel from reference']:.3f} nats"
        )
