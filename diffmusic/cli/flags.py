"""Flags: those of an operator's dataclass, those of every ``solve``, and blocks that commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import click

from diffmusic.audio.stereo import Stereo
from diffmusic.jobs.restore import RestoreJob
from diffmusic.parameters import Parameter, parameters
from diffmusic.tasks.loading import default_solver
from diffmusic.tasks.settings import Context

OPERATOR = "operator_"
"""Prefix of the names of an operator's values, so that they cannot collide with those of the common flags."""

LIST = "list_"
"""What the names of the files begin with that list stretches of time, for a parameter of the operator."""

RECTANGLES = "rectangles_"
"""The same for a parameter that holds rectangles of the spectrogram."""

Flags = Sequence[tuple[tuple[str, ...], dict[str, Any]]]
"""Flags with their settings, as ``options`` takes them."""

SOLVER: Flags = (
    (("--solver",), {"metavar": "NAME", "help": "The method; see diffmusic solvers."}),
    (("-s", "--set", "settings"), {"multiple": True, "metavar": "KEY=VALUE", "help": "Set a parameter of the solver; "
      "see diffmusic solvers NAME."}),
)  # fmt: skip
"""Flags of the solver and its settings."""

RUN: Flags = (
    (("--seed",), {"type": int, "metavar": "N", "help": "The result is a function of it."}),
    (("--model",), {"metavar": "NAME|DIR|HUB_ID", "help": "The prior; see diffmusic models."}),
    (("--device",), {"metavar": "NAME", "help": "auto, cpu, cuda or mps."}),
    (("--dtype",), {"metavar": "NAME", "help": "Precision of the network: float32 (which auto is), bfloat16 or "
      "float16; decoders keep float32."}),
    (("--offline",), {"is_flag": True, "help": "Download nothing; a model that is not in the cache is an error."}),
    (("--allow-pickle",), {"is_flag": True, "help": "Read pickled weights where there are no safetensors. A pickle "
      "can run any program as it is read: only from those you trust."}),
    (("--config",), {"type": click.Path(path_type=Path), "metavar": "RUN.json", "help": "Take what is not given here "
      "from a run record."}),
    (("--exact",), {"is_flag": True, "help": "With --config: refuse a model whose weights are not those of the record, "
      "instead of a note."}),
    (("--json", "as_json"), {"is_flag": True, "help": "Print the run record, one line for each "
      "input, and nothing else."}),
)  # fmt: skip
"""Flags of every command that makes audio: the seed, the prior and its permissions, and the run record."""

OUTPUT: Flags = (
    (("--subtype",), {"metavar": "NAME", "help": "Encoding of the output, such as PCM_24 or FLOAT.  [default: the "
      "input's, where it can be written]"}),
    (("--no-clobber",), {"is_flag": True, "help": "Leave a file alone whose output is there already."}),
)  # fmt: skip
"""How results are written."""

DRY: Flags = (
    (("--dry-run",), {"is_flag": True, "help": "Say what it would take, in windows, passes of the prior, seconds and "
      "memory, and write nothing."}),
)  # fmt: skip
"""Flag of the commands that can say beforehand what a run takes."""

MANY: Flags = (
    (("--workers",), {"type": click.IntRange(1), "default": 1, "metavar": "N", "help": "Files at a time, each in a "
      "process of its own; the results are the same."}),
    (("--threads",), {"type": click.IntRange(1), "metavar": "N", "help": "Threads of each process.  [default: those of "
      "this one]"}),
    (("--engine",), {"type": click.Choice(["local", "ray"]), "default": "local", "help": "Where the work is done: on "
      "this machine, or on a Ray cluster whose machines see the same files."}),
    (("--address",), {"metavar": "A", "help": "Address of a running Ray cluster; by default one is started here."}),
)  # fmt: skip
"""Where the work on many files is done."""

ADAPTER: Flags = (
    (("--adapter",), {"type": click.Path(), "metavar": "FILE", "help": "A LoRA for the network of the model: one that "
      "fuse has learnt, or a file or folder of peft or diffusers."}),
)  # fmt: skip
"""What the prior has learnt besides."""

PROJECTION: Flags = (
    (("--guidance-parallel",), {"type": float, "metavar": "FLOAT", "help": "Part of guidance along the clean estimate: "
      "1 is plain, 0 projects it away, against what large weights overdo."}),
    (("--guidance-limit",), {"type": float, "metavar": "FLOAT", "help": "Largest root mean square of what guidance "
      "adds at weight 2, in units of the latents."}),
)  # fmt: skip
"""Adaptive projected guidance."""

BATCH: Flags = (
    (("--batch",), {"type": int, "metavar": "N", "help": "Latents in one call of the network; more than 1 changes the "
      "last bits.  [default: 1 on a CPU, else 16]"}),
)  # fmt: skip
"""Flags of every command that processes many latents at once."""


class Window(click.ParamType):
    """``LOW:HIGH``, two noise levels."""

    name = "LOW:HIGH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        low, _, high = str(value).partition(":")
        try:
            return [float(low), float(high)]
        except ValueError:
            self.fail(f"{value!r}: write LOW:HIGH, such as 0.5:4", param, ctx)


def options(default: Any, make: Callable[..., Any] = click.option) -> Callable[..., Any]:
    """Wrap ``make`` so that its help ends with the value that the default job has under that name."""

    def option(*names: str, **settings: Any) -> Any:
        value = getattr(default, names[-1].lstrip("-").replace("-", "_"), None)
        shown = "" if value is False or value in (None, (), "") else f"  [default: {value}]"
        return make(*names, **settings | {"help": settings["help"] + shown})

    return option


def several(option: Callable[..., Any], *blocks: Flags) -> Callable[[Any], Any]:
    """Apply blocks of flags as one decorator. option: of the command, from ``options``."""

    def decorate(command: Any) -> Any:
        for names, settings in reversed([flag for block in blocks for flag in block]):
            command = option(*names, **settings)(command)
        return command

    return decorate


def operator_flags(component: type) -> list[click.Parameter]:
    """A flag for every parameter. Its check and default stay with the dataclass: what is not given is None or
    empty, so that a run record can fill it in."""
    flags: list[click.Parameter] = []
    for parameter in parameters(component):
        flags.append(_flag(parameter))
        if parameter.repeatable and parameter.kind in ("START:END", "START:END@LOW:HIGH"):
            flags.append(_list_flag(parameter))
    return flags


def _list_flag(parameter: Parameter) -> click.Option:
    help_text = (
        "a file that lists them: a label track of Audacity, or CSV with the columns start, end (or length) and, for "
        "several inputs, file; or a folder with a list for each input, NAME.txt or NAME.csv"
    )
    prefix = LIST
    if "@" in parameter.kind:
        prefix = RECTANGLES
        help_text = (
            "a file that lists them: a label track of Audacity, of which the spectral selections are taken, or CSV "
            "with the columns start, end (or length), low, high; or a folder with a list for each input"
        )
    flag, name = f"--{parameter.name.replace('_', '-')}s", f"{prefix}{parameter.name}"
    return click.Option([flag, name], multiple=True, type=click.Path(path_type=Path), metavar="FILE", help=help_text)


def _flag(parameter: Parameter) -> click.Option:
    flag, name = f"--{parameter.name.replace('_', '-')}", f"{OPERATOR}{parameter.name}"
    shown = "" if parameter.required or parameter.default in ((), None) else f"  [default: {parameter.default}]"
    if parameter.kind == "BOOL":
        return click.Option([f"{flag}/--no-{flag[2:]}", name], default=None, help=parameter.help + shown)
    return click.Option(
        [flag, name], multiple=parameter.repeatable, metavar=parameter.kind, help=parameter.help + shown
    )


def common_flags(operator: Any) -> list[click.Parameter]:
    """INPUT... and the flags that every operator has; those left out are None."""
    job = RestoreJob(operator="", solver=default_solver(operator))
    option = options(job, lambda *names, **settings: click.Option(list(names), **settings))
    path = click.Path(path_type=Path)
    return [
        click.Argument(["inputs"], nargs=-1, required=True, type=path, metavar="INPUT..."),
        option("-o", "--output", type=path, metavar="OUT", help="Where to write; a folder for several inputs, which is "
               "made; - is stdout.  [default: NAME.restored.EXT beside the input]"),
        *(option(*names, **settings) for names, settings in SOLVER),
        option("--prompt", multiple=True, metavar="TEXT", help="What the music is, for a prior that reads text; "
               "repeat it for each source of a mixture."),
        option("--negative-prompt", metavar="TEXT", help="What it is not."),
        option("--guidance", type=float, metavar="FLOAT", help="Weight of the prompts (classifier-free guidance); 1 "
               "runs the network once a step instead of twice."),
        *(option(*names, **settings) for names, settings in PROJECTION),
        option("--steps", type=int, metavar="N", help="Noise levels; iterations of a solver that optimises."),
        option("--samples", type=int, metavar="N", help="Different restorations to draw: OUT is their medoid, "
               "from which the others, OUT-2 and on, differ least."),
        option("--finish/--no-finish", default=None, help="Put back what was observed (the default), or give the raw "
               "estimate."),
        option("--stereo", type=click.Choice(get_args(Stereo)), help="Solve two channels as mid and side, where the "
               "operator is linear, or each by itself."),
        option("--extend/--no-extend", default=None, help="Fill what lies above the prior's band within a gap (the "
               "default), or leave it empty."),
        option("--context", type=click.Choice(get_args(Context)), help="What a prior is told of a gap: also what the "
               "song says again of it elsewhere, what lies around it, or not even that where it could be told."),
        option("--simulate", is_flag=True, default=None, help="INPUT is clean: damage it first, and measure. For a "
               "mixture: its sources, one file each."),
        option("--noise-std", type=float, metavar="FLOAT", help="White noise in the recording, full scale 1; "
               "added with --simulate."),
        option("--noise-from", metavar="START:END|auto", help="Where the recording holds nothing but noise: its "
               "spectrum is taken from there, or with auto from the least of what is heard in each band."),
        option("--snr", type=float, metavar="DB", help="The same, by its distance from the signal; with --simulate."),
        option("--reference", "references", multiple=True, type=path, metavar="CLEAN", help="The true recording, to "
               "measure against; for a mixture each of its sources."),
        option("--plot", type=path, metavar="PNG", help="Draw spectrograms before and after."),
        *(option(*names, **settings) for names, settings in (*ADAPTER, *OUTPUT, *MANY, *RUN, *DRY)),
    ]  # fmt: skip
