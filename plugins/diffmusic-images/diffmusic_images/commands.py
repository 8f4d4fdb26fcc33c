"""The commands of ``diffmusic image``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from diffmusic_images.settings import EditSettings, ExploreSettings, Settings, SolveSettings

PATH = click.Path(path_type=Path)


def flags(settings: type[Settings], texts: Mapping[str, str]) -> Any:
    """Decorate a command with a flag for each of these fields of its settings, and with those that all have."""
    everywhere = {
        "solver": "The method; see diffmusic solvers.",
        "steps": "Sampling steps.",
        "negative_prompt": "Text to steer away from.",
        "guidance_parallel": "Part of guidance along the clean estimate: 1 is plain, 0 projects it away.",
        "guidance_limit": "Largest root mean square of what guidance adds at weight 2.",
        "seed": "The result is a function of it.",
        "size": "Take the middle square, and resize it to so many rows and columns (512 in the papers).",
        "model": "A folder in the layout of diffusers, or an id on the hub.",
        "device": "auto, cpu, cuda or mps.",
        "dtype": "Precision of the network: float32 (which auto is), bfloat16 or float16.",
        "batch": "Latents in one call of the network; more than 1 changes the last bits.",
    }
    default, kinds = settings(), {field.name: str(field.type) for field in dataclasses.fields(settings)}

    def decorate(command: Any) -> Any:
        for name, text in reversed((dict(texts) | everywhere).items()):
            kind = kinds[name]
            value = getattr(default, name)
            shown = "" if value in (None, "", (), False) else f"  [default: {value}]"
            if kind == "bool":
                flag = f"--{name}/--no-{name}"
                command = click.option(flag, name, default=None, help=text)(command)
                continue
            parsed = int if kind.startswith(("Count", "Seed", "int")) else str if "str" in kind else float
            flag = {"targets": "--target"}.get(name, f"--{name.replace('_', '-')}")
            command = click.option(flag, name, type=parsed, multiple=name == "targets", help=text + shown)(command)
        for names, more in (
            (("--json", "as_json"), {"is_flag": True, "help": "Print the run record and nothing else."}),
            (("--allow-pickle",), {"is_flag": True, "help": "Read pickled weights where there are no safetensors."}),
            (("--offline",), {"is_flag": True, "help": "Download nothing."}),
            (("-s", "--set", "settings"), {"multiple": True, "metavar": "KEY=VALUE", "help": "Of the solver."}),
            (("-o", "--output"), {"type": PATH, "metavar": "OUT", "help": "Where to write."}),
        ):
            command = click.option(*names, **more)(command)
        return command

    return decorate


@click.command()
@click.argument("operator")
@click.argument("path", type=PATH, metavar="INPUT")
@flags(
    SolveSettings,
    {
        "prompt": "What the image shows.",
        "guidance": "Weight of the prompt (classifier-free guidance); 1 is none.",
        "samples": "Different restorations to draw.",
        "noise_std": "Standard deviation of white noise in the image, whose range is -1 to 1.",
        "finish": "Put back what was observed (the default), or give the raw estimate.",
    },
)
@click.option("--simulate", is_flag=True, help="INPUT is whole: damage it first, and measure the result against it.")
def solve(operator: str, path: Path, **given: Any) -> None:
    """Restore an image that OPERATOR damaged: box-mask, downsampling or blur, with its parameters.

    \b
    diffmusic image solve "box-mask box=64:192,64:192" photo.png
    diffmusic image solve "downsampling factor=4" small.png --solver dps -s zeta=1
    diffmusic image solve "blur deviation=3" clean.png --simulate
    """
    from diffmusic.parameters import values
    from diffmusic.solver.contract import DirectSolver
    from diffmusic.tasks.loading import default_solver, load_operator, load_restorer
    from diffmusic_images import files, runs, tasks

    damage = load_operator(operator)
    job = runs.job(SolveSettings, {**given, "operator": operator}, default_solver(damage))
    output = runs.output(path, given["output"], "restored")
    method = load_restorer(job.solver, job.solver_parameters)
    names = runs.numbered(output, job.samples)
    measured = files.read(path, job.size)
    clean, extra = None, {}
    if given["simulate"]:
        clean, measured = measured, runs.damaged(measured, damage)
        extra = {output.with_name(f"{output.stem}.damaged.png"): measured}
    runs.check([*names, *extra], path)
    model = None if isinstance(method, DirectSolver) else runs.model(job, given)
    with runs.bar(path) as progress:
        result = tasks.solve(measured, damage, method, model, job, progress)
    metrics = {} if clean is None else {"psnr": [files.psnr(clean, each) for each in result.images]}
    job = dataclasses.replace(job, solver_parameters=values(method))
    about = {"parameters": values(damage), "metrics": metrics}
    runs.leave("image solve", dict(zip(names, result.images, strict=True)) | extra, path, job, model, result, about,
               given["as_json"])  # fmt: skip


@click.command()
@click.argument("path", type=PATH, metavar="INPUT")
@flags(
    EditSettings,
    {
        "targets": "What it is to become; repeat it for several edits.",
        "source": "What it is, for a change of just what differs.",
        "skip": "Steps that are left out at the beginning: the more, the less changes.",
        "guidance": "Weight of a target (classifier-free guidance).",
        "source_guidance": "The same of the source.",
        "samples": "Different edits to draw for each target.",
    },
)
def edit(path: Path, **given: Any) -> None:
    """Change an image: say what it is to become, and for a finer change what it is.

    \b
    diffmusic image edit cat.png --source "a sketch of a cat" --target "a sculpture of a cat" --size 512
    diffmusic image edit cat.png --solver sdedit --target "a sculpture of a cat" --skip 60
    diffmusic image edit cat.png --solver image-inversion -s right=64
    """
    from diffmusic.parameters import values
    from diffmusic.tasks.loading import load_editor
    from diffmusic_images import files, runs, tasks

    job = runs.job(EditSettings, given)
    editor = load_editor(job.solver, job.solver_parameters)
    output = runs.output(path, given["output"], "edited")
    names = runs.numbered(output, max(1, len(job.targets)) * job.samples)
    runs.check(names, path)
    pixels = files.read(path, job.size)
    model = runs.model(job, given)
    with runs.bar(path) as progress:
        result = tasks.edit(pixels, editor, model, job, progress)
    job = dataclasses.replace(job, solver_parameters=values(editor))
    runs.leave("image edit", dict(zip(names, result.images, strict=True)), path, job, model, result, {},
               given["as_json"])  # fmt: skip


@click.command()
@click.argument("path", type=PATH, metavar="INPUT")
@flags(
    ExploreSettings,
    {
        "source": "What the image shows.",
        "components": "Directions to find.",
        "amount": "Standard deviations by which each is followed.",
        "at": "Noise level whose directions are followed; by default each level's own.",
        "until": "Noise level below which nothing is added.",
        "skip": "Steps that are left out at the beginning.",
        "products": "Products of the Jacobian with a vector at each level, at most.",
        "tolerance": "Residual below which a level is done.",
        "source_guidance": "Weight of the source.",
    },
)
def explore(path: Path, **given: Any) -> None:
    """Find directions in which an image could change, and follow each of them both ways.

    The folder OUT gets an image for each direction and sign, and directions.safetensors, which the solver posterior-pc
    follows: diffmusic image edit cat.png --solver posterior-pc -s directions=found/directions.safetensors
    """
    from diffmusic_images import files, runs, tasks

    job = runs.job(ExploreSettings, {**given, "solver": "posterior-pc"})
    folder = given["output"] or path.with_name(f"{path.stem}.directions")
    names = [folder / f"component-{number + 1}{sign}.png" for number in range(job.components) for sign in "+-"]
    runs.check([*names, folder / "directions.safetensors"], path)
    pixels = files.read(path, job.size)
    model = runs.model(job, given)
    with runs.bar(path) as progress:
        result, found = tasks.explore(pixels, model, job, progress)
    about = {"eigenvalues": found.values.tolist(), "residuals": found.residuals.tolist()}
    found = dataclasses.replace(found, about={**found.about, "model": model.describe(), "job": dataclasses.asdict(job)})
    more = {folder / "directions.safetensors": found.encode()}
    runs.leave("image explore", dict(zip(names, result.images, strict=True)), path, job, model, result, about,
               given["as_json"], more)  # fmt: skip
