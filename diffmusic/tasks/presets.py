"""Presets of an edit by name: strength, steps and guidance of each editor.

``paper`` is what arXiv:2402.10009, section 4.3, sets: guidance 3 for the source, 12 for the target, 5 with DDIM
inversion. Its sampler has 200 steps; the released code edits from ``T_start`` 100, and DDIM inversion goes all the way
up. So there are 100 steps from 100/200, or 200; here they are even in log sigma.

``subtle`` and ``bold`` are the strengths, of those that ``benchmarks/results/edits.json`` has, at which the editor's
LPAPS to the source is nearest to 0.2 and to 1.1: an edit that is just beyond the prior's round trip (0.12), and one
that has left the source for the target's caption. Steps and guidance are those of that benchmark (ten instrument swaps,
mini 2).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from diffmusic.errors import InputError

Preset = Literal["subtle", "bold", "paper"]
LPAPS: dict[str, float] = {"subtle": 0.2, "bold": 1.1}
"""Distance to the source that a measured preset aims at."""
MEASURED: dict[str, dict[str, float]] = {
    "ddpm-inversion": {"subtle": 1.0, "bold": 8.0},
    "ddim-inversion": {"subtle": 1.0, "bold": 8.0},
    "sdedit": {"subtle": 0.5, "bold": 2.0},
    "flow-edit": {"subtle": 2.0, "bold": 8.0},
}
"""Strength of each measured preset, by editor."""
PAPER: dict[str, tuple[str, float]] = {
    "ddpm-inversion": ("100/200", 12.0),
    "sdedit": ("100/200", 12.0),
    "ddim-inversion": ("200/200", 5.0),
}
"""``T_start`` and target guidance of the paper, by editor."""


def preset(name: str, solver: str) -> dict[str, Any]:
    """Return the settings of a preset for an editor.

    Args:
        name: ``subtle``, ``bold`` or ``paper``.
        solver: Name of the editor.

    Returns:
        Fields of ``EditSettings``; for ``paper`` with ``t_start``, N/STEPS, instead of a strength.

    Raises:
        InputError: There is no such preset, or none for this editor.
    """
    if name not in get_args(Preset):
        raise InputError(f"`preset` {name!r}: it is {', '.join(get_args(Preset)[:-1])} or {get_args(Preset)[-1]}")
    table: dict[str, Any] = PAPER if name == "paper" else MEASURED
    if solver not in table:
        raise InputError(f"`preset` {name} has no numbers for the solver {solver}; it has for {', '.join(table)}")
    if name != "paper":
        return {"strength": MEASURED[solver][name], "steps": 25, "guidance": 5.0, "source_guidance": 3.0}
    start, guidance = PAPER[solver]
    return {"t_start": start, "steps": int(start.split("/")[0]), "guidance": guidance, "source_guidance": 3.0}
