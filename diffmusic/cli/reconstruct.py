"""``diffmusic reconstruct INPUT``: put its latent into a walk at a level, and see how much of it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import torch

from diffmusic import models, outputs, record
from diffmusic.audio import files
from diffmusic.cli.flags import assignments
from diffmusic.cli.jobs import target, variants
from diffmusic.cli.report import encoded, leave, progress_bar, record_path, report
from diffmusic.edit_job import load_editor
from diffmusic.errors import InputError
from diffmusic.fuse import Fused, fuse
from diffmusic.likeness import likeness
from diffmusic.parameters import values
from diffmusic.plot import grid

PATH = click.Path(path_type=Path)
STEPS = 200
# What the paper puts in after 0, 80, 120, 140 and 160 of the 200 steps of Stable Audio's levels, 500 to 0.3.
PAPER = (500.0, 25.2, 5.71, 2.71, 1.29)
# The rows of the paper's figures, each by parameters of the solver; the columns are levels.
FIGURES: dict[str, tuple[tuple[float, ...], dict[str, dict[str, Any]]]] = {
    "1": ((PAPER[0], PAPER[1], PAPER[3]), {
        "inverted": {},
        "diffused": {"injected": "diffused"},
        "stochastic": {"injected": "stochastic"},
    }),
    "2": ((PAPER[0],), {
        "from scratch": {"level": float("inf")},
        "inverted": {},
        "diffused": {"injected": "diffused"},
    }),
    "A.1": (PAPER, {f"order {order}": {"order": order} for order in (1, 2, 3)}),
}  # fmt: skip


@click.command()
@click.argument("path", type=PATH, metavar="INPUT")
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
@click.option("--prompt", default="", metavar="TEXT", help="What leads the walk.  [default: nothing]")
@click.option("--negative-prompt", default="", metavar="TEXT", help="What the result is not to be.")
@click.option("--guidance", type=click.FloatRange(0), default=1.0, show_default=True, help="Weight of the prompt.")
@click.option(
    "-s",
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a parameter of the solver; see diffmusic solvers fusion.",
)
@click.option("--solver", default="fusion", show_default=True, help="The method.")
@click.option("--model", default="mini", show_default=True, metavar="NAME|DIR", help="The prior.")
@click.option(
    "--steps", type=click.IntRange(1), default=STEPS, show_default=True, help="Noise levels of the whole walk."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The result is a function of it.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="OUT",
    help="Where to write; the picture is OUT with .png.  [default: INPUT.reconstructed.EXT]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the run record, and nothing else.")
def reconstruct(path: Path, **given: Any) -> None:
    """Put the latent of a recording into a walk at given noise levels, and draw what becomes of it: how much of the
    recording a level keeps, and how much the prior makes up.

    \b
    diffmusic reconstruct sound.wav --level 1 --level 5 -o looked.wav
    diffmusic reconstruct sound.wav --figure A.1 -o figure.wav         orders against levels, as the paper has them
    """
    levels, rows = _asked(given)
    parameters = assignments(given["settings"])
    wanted = {
        f"{name}{', ' if name else ''}sigma {level:.3g}": {**parameters, "level": level, **row}
        for name, row in rows.items()
        for level in levels
    }
    editors = [load_editor(given["solver"], each) for each in wanted.values()]
    base = target(path, given["output"], "reconstructed")
    audio, picture = variants(base, ("", len(editors))), base.with_suffix(".png")
    outputs.check([*audio, picture, record_path(audio[0])], [path])
    recording = files.read(path)
    backbone = models.load(given["model"], models.device(given["device"]))
    torch.manual_seed(given["seed"])
    with progress_bar(path.name) as progress:
        made = fuse(
            recording.samples, recording.sample_rate, editors, backbone, prompt=given["prompt"],
            negative_prompt=given["negative_prompt"], guidance=given["guidance"], levels=levels, steps=given["steps"],
            seed=given["seed"], progress=progress,
        )  # fmt: skip
    contents = encoded(dict(zip(audio, made.audio, strict=True)), recording, recording.sample_rate, recording.samples)
    panels = {**dict(zip(wanted, made.audio, strict=True)), "the original, encoded and decoded": made.round_trip}
    contents[picture] = grid(list(panels.items()), recording.sample_rate, len(levels))
    job = {name: given[name] for name in ("prompt", "negative_prompt", "guidance", "solver", "model", "steps", "seed")}
    costs = {**made.costs.as_dict(), "seconds": round(made.seconds, 3)}
    document = record.document("reconstruct", job, [path], backbone.describe(), costs)
    document |= {"made": [{"title": title, **values(each)} for title, each in zip(wanted, editors, strict=True)]}
    document |= {"sigmas": made.sigmas, "likeness": _likeness(panels, made)}
    report(leave(contents, document), given["as_json"])


def _asked(given: Mapping[str, Any]) -> tuple[tuple[float, ...], dict[str, dict[str, Any]]]:
    """The levels, and the rows of the picture. Raises InputError where neither is given."""
    if given["figure"] and given["levels"]:
        raise InputError("--figure has the paper's levels: leave --level out")
    if given["figure"]:
        return FIGURES[given["figure"]]
    if not given["levels"]:
        raise InputError("say at which noise levels, with --level SIGMA, or --figure 1, 2 or A.1")
    return given["levels"], {"": {}}


def _likeness(panels: Mapping[str, Any], made: Fused) -> dict[str, dict[str, float]]:
    rate = made.sample_rate
    found = {title: likeness(audio, rate, made.round_trip, rate) for title, audio in panels.items()}
    return {title: {"clap": each.clap, "log_mel": each.log_mel} for title, each in found.items()}
