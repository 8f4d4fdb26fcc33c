"""``diffmusic models check``: what a prior is like, and what to use with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from diffmusic.errors import InputError


@click.command(short_help="Measure a prior, and find the solver for it.")
@click.argument("model", metavar="NAME|DIR|HUB_ID")
@click.option(
    "--clips",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Clean music to measure on, files or folders.  [default: the recordings in examples/]",
)
@click.option("--count", type=int, metavar="N", help="Clips to take of it.  [default: 3; quick: 1]")
@click.option("--steps", type=int, metavar="N", help="Noise levels to compare solvers at.  [default: 12; quick: 6]")
@click.option(
    "--levels",
    metavar="N,N,...",
    help="Numbers of noise levels to run the best solver with.  [default: 12,25,50; quick: none]",
)
@click.option("--samples", type=int, metavar="N", help="Restorations of a clip to draw.  [default: 2]")
@click.option(
    "--seconds",
    type=float,
    metavar="S",
    help="Length of a clip.  [default: 5.12, or what the prior was trained on if that is less]",
)
@click.option(
    "--damage",
    "kinds",
    multiple=True,
    type=click.Choice(["gap", "band"]),
    help="Damage to compare solvers on: a gap, or a missing upper half of the band.  [default: both; quick: gap]",
)
@click.option(
    "--solver", "solvers", multiple=True, metavar="NAME", help="Solvers to compare.  [default: all that walk a prior]"
)
@click.option("--quick", is_flag=True, help="One clip, few levels; nothing is kept.")
@click.option(
    "--keep/--no-keep",
    default=True,
    help="Let solve use what was found with this model, where no --solver and no --steps is given.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="JSON", help="Write the report as JSON.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="PNG", help="Draw the report.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option("--dtype", default="auto", show_default=True, help="Precision of the network.")
@click.option("--offline", is_flag=True, help="Download nothing.")
@click.option("--allow-pickle", is_flag=True, help="Read pickled weights where there are no safetensors.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and nothing else.")
def check(model: str, **given: Any) -> None:
    """Measure the prior of a checkpoint, and find which solver to use with it and how many noise levels.

    Round trip, denoiser and free samples are measured, and every solver repairs known damage in clips of music. What is
    best is kept, and solve uses it with these weights wherever no --solver and no --steps is given.

    \b
    diffmusic models check my-checkpoint/ --quick             some minutes
    diffmusic models check my-checkpoint/ --clips music/ --plot check.png -o check.json
    """
    from diffmusic.cli.terminal import progress_bar, say
    from diffmusic.jobs import kept_checks, outputs, record
    from diffmusic.jobs.model_check import QUICK, CheckSettings, check, excerpts
    from diffmusic.models.load import Access, resolve_device
    from diffmusic.reports.model_check import page, picture

    plot, output = given["plot"], given["output"]
    if plot and plot.suffix.lower() != ".png":
        raise InputError(f"--plot {plot}: the picture is a PNG; give a name that ends in .png")
    flags = {"clips": given["count"], "steps": given["steps"], "samples": given["samples"], "kinds": given["kinds"],
             "solvers": given["solvers"], "seconds": given["seconds"], "levels": _levels(given["levels"])}  # fmt: skip
    for name in ("count", "steps", "samples"):
        if given[name] is not None and not 1 <= given[name] <= 1000:
            raise InputError(f"--{name} {given[name]}: it is 1 to 1000")
    if given["seconds"] is not None and not 0.5 <= given["seconds"] <= 60:
        raise InputError(f"--seconds {given['seconds']:g}: it is 0.5 to 60")
    chosen = {name: value for name, value in flags.items() if value not in (None, ())}
    settings = dataclasses.replace(QUICK if given["quick"] else CheckSettings(), **chosen)
    paths = _recordings(given["clips"])
    outputs.check([path for path in (plot, output) if path], paths)
    access = Access(given["offline"], given["allow_pickle"])
    backbone = access.load(model, resolve_device(given["device"]), given["dtype"])
    clips = excerpts(paths, backbone, settings)
    with progress_bar(1) as bar:
        report = check(backbone, clips, settings, lambda done, name: bar(done, name))
    written = ({plot: picture(report)} if plot else {}) | ({output: record.dump(report).encode()} if output else {})
    outputs.write(written)
    kept = kept_checks.keep(report) if given["keep"] and not given["quick"] else None
    if given["as_json"]:
        say(record.line(report))
        return
    say(page(report))
    for path in written:
        say(f"wrote {path}")
    say(f"solve uses this with these weights: {kept}" if kept else "nothing is kept: solve keeps its own defaults")


def _levels(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 1 <= int(word) <= 1000 for word in words):
        raise InputError(f"--levels {text}: numbers of noise levels, such as 12,25,50")
    return tuple(map(int, words))


def _recordings(paths: tuple[Path, ...]) -> list[Path]:
    """The files to cut clips out of. Raises InputError where there are none."""
    import diffmusic
    from diffmusic.audio import files

    if not paths:
        examples = Path(diffmusic.__path__[0]).parent / "examples"
        found = sorted(examples.glob("*.flac"))
        if not found:
            raise InputError("this installation came without examples: give some music with --clips")
        return found
    listed = [files.below(path) if path.is_dir() else [path] for path in paths]
    for path, found in zip(paths, listed, strict=True):
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not found:
            raise InputError(f"{path} holds no recording")
    return [each for found in listed for each in found]
