"""Check of a prior: what it is like, and which solver and how many noise levels to use with it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffmusic.audio import files
from diffmusic.audio.resample import resample
from diffmusic.errors import InputError
from diffmusic.jobs import record
from diffmusic.models.components import load_component
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.prior import Prior
from diffmusic.tasks.prior_quality import denoising, flux, free_sample, log_mel, round_trip, scaled
from diffmusic.tasks.prior_race import DEFAULTS, Cell, Kind, candidates, run, straight

Tick = Callable[[float, str], Any]
"""Callback with the share of the work that is done, and the name of what comes next."""
_LEVELS, _FREE = 6, 25


@dataclass(frozen=True)
class CheckSettings:
    """Settings of a check.

    Attributes:
        clips: Clips to measure on.
        steps: Noise levels at which solvers are compared.
        levels: Numbers of noise levels that the best of them is run with.
        samples: Restorations of a clip that each solver draws.
        seconds: Length of a clip; less for a prior that was trained on less.
        kinds: Damage to repair.
        solvers: Names of the solvers; all that walk a prior where there are none.
    """

    clips: int = 3
    steps: int = 12
    levels: tuple[int, ...] = (12, 25, 50)
    samples: int = 2
    seconds: float = 5.12
    kinds: tuple[Kind, ...] = ("gap", "band")
    solvers: tuple[str, ...] = ()


QUICK = CheckSettings(clips=1, steps=6, levels=(), kinds=("gap",))


def excerpts(paths: Sequence[Path], backbone: Backbone, settings: CheckSettings) -> dict[str, np.ndarray]:
    """Cut clips out of recordings, in turn and spread evenly, at the prior's rate and with its channels.

    Returns:
        Audio, (channels, time), by a name that says where it is from.

    Raises:
        InputError: A recording is too short, or silent.
    """
    seconds, rate, count = min(settings.seconds, backbone.excerpt_seconds), backbone.sample_rate, settings.clips
    found: dict[str, np.ndarray] = {}
    for number in range(count):
        path, turn = paths[number % len(paths)], number // len(paths)
        turns = -(-(count - number % len(paths)) // len(paths))
        recording = files.read(path)
        length = recording.samples.shape[-1] / recording.sample_rate
        start = (turn + 0.5) / turns * length - seconds / 2
        start = min(max(0.0, start), length - seconds)
        if start < 0:
            raise InputError(f"{path} lasts {length:.2f} s; this prior is checked on clips of {seconds:g} s")
        first = round(start * recording.sample_rate)
        part = recording.samples[:, first : first + round(seconds * recording.sample_rate)]
        if not part.any():
            raise InputError(f"{path} is silent from {start:.2f} s on: choose other clips")
        clip = resample(part, recording.sample_rate, rate, round(seconds * rate))
        width = backbone.channels
        clip = clip[:width] if len(clip) >= width > 1 else np.repeat(clip.mean(0, keepdims=True), width, 0)
        found[f"{path.name} {start:.2f}:{start + seconds:.2f}"] = clip
    return found


def check(backbone: Backbone, clips: dict[str, np.ndarray], settings: CheckSettings, tick: Tick) -> dict[str, Any]:
    """Measure a prior, and compare solvers with it.

    Args:
        backbone: The prior.
        clips: Clean audio, (channels, time) at its rate, by name.
        settings: What to measure.
        tick: Callback for progress.

    Returns:
        The report, in JSON values: ``model``, ``clips``, ``round_trip``, ``denoiser``, ``free_samples``, ``solvers``
        by kind of damage, ``levels`` of the best of them, ``advice``, ``seconds`` and ``peak_memory_bytes``.

    Raises:
        InputError: A solver that was named does not exist.
    """
    started, audio = time.perf_counter(), list(clips.values())
    names, rate = settings.solvers or tuple(candidates()), backbone.sample_rate
    for name in names:
        load_component("solver", name)
    work = _Work(tick, 2 + _LEVELS + len(settings.kinds) * (len(names) + len(settings.levels)))
    work.next("round trip")
    report: dict[str, Any] = {
        "command": "models check",
        "versions": record.versions(),
        "model": backbone.describe() | {"device": str(backbone.device), "channels": backbone.channels},
        "clips": list(clips),
        "settings": dataclasses.asdict(settings),
        "round_trip": round_trip(backbone, audio),
        "denoiser": [],
    }
    prior = Prior(backbone, audio[0].shape[-1], Costs())
    latents = [prior.encode(scaled(clip, backbone)).detach() for clip in audio]
    sigmas = backbone.sigmas(2 * _LEVELS).tolist()[: 2 * _LEVELS : 2]
    for sigma in sigmas:
        work.next(f"denoiser at sigma {sigma:.3g}")
        report["denoiser"].append(dataclasses.asdict(denoising(backbone, latents, sigma)))
    work.next("free samples")
    drawn = [flux(log_mel(free_sample(backbone, prior.samples, _FREE, seed), rate)) for seed in range(len(audio))]
    own = float(np.mean([flux(log_mel(scaled(clip, backbone)[0], rate)) for clip in audio]))
    report["free_samples"] = {"steps": _FREE, "count": len(drawn), "flux": float(np.mean(drawn)) / max(own, 1e-12)}
    report |= {"solvers": {}, "levels": {}, "advice": {}}
    for kind in settings.kinds:
        rows = {name: _row(backbone, audio, kind, name, settings.steps, settings.samples, work) for name in names}
        if kind == "gap":
            rows["straight line"] = _summary([straight(clip, rate) for clip in audio], 0)
        best = _best({name: row for name, row in rows.items() if name != "straight line"}, DEFAULTS[kind])
        levels = {} if best is None else {
            steps: rows[best] if steps == settings.steps
            else _row(backbone, audio, kind, best, steps, settings.samples, work)
            for steps in settings.levels
        }  # fmt: skip
        report["solvers"][kind] = [{"solver": name} | row for name, row in rows.items()]
        report["levels"][kind] = [{"solver": best, "steps": steps} | row for steps, row in levels.items()]
        report["advice"][kind] = None if best is None else {
            "solver": best, "steps": _fewest({settings.steps: rows[best], **levels})
        }  # fmt: skip
    return report | {
        "seconds": round(time.perf_counter() - started, 1),
        "peak_memory_bytes": max([work.peak, record.peak_memory()]),
    }


class _Work:
    """Progress through a known number of parts."""

    def __init__(self, tick: Tick, parts: int) -> None:
        self.tick, self.parts, self.done, self.peak = tick, parts, -1, 0

    def next(self, name: str) -> None:
        self.done += 1
        self.tick(min(1.0, self.done / self.parts), name)


def _row(
    backbone: Backbone, clips: Sequence[np.ndarray], kind: Kind, solver: str, steps: int, samples: int, work: _Work
) -> dict[str, Any]:
    work.next(f"{kind}: {solver}, {steps} levels")
    work.peak = max(work.peak, record.peak_memory())
    record.forget_peak_memory()
    cells = []
    for clip in clips:
        cells.append(run(backbone, clip, kind, solver, steps, samples))
        if not cells[-1].ok:  # what failed once is not what to use
            break
    return _summary(cells, record.peak_memory())


def _summary(cells: Sequence[Cell], memory: int) -> dict[str, Any]:
    """Means over clips, the score of each, and the first error."""
    fields = ("crps", "one", "mean", "flux", "seconds")
    means = {name: float(np.mean([getattr(cell, name) for cell in cells])) for name in fields}
    errors = [cell.error for cell in cells if cell.error]
    return means | {
        "of_clips": [cell.crps for cell in cells], "peak_memory_bytes": memory, "error": errors[0] if errors else "",
    }  # fmt: skip


_NEAR = 1.1


def _best(rows: dict[str, dict[str, Any]], default: str) -> str | None:
    """The default, unless it failed or another scores better on every clip; None where all failed.

    What is far from the truth in one sample does not win by scatter, which two samples can not tell from honest doubt.
    """
    sound = {name: row for name, row in rows.items() if not row["error"]}
    if not sound:
        return None
    least = min(row["one"] for row in sound.values())
    near = {name: row for name, row in sound.items() if row["one"] <= _NEAR * least}
    if default in sound:
        own = sound[default]["of_clips"]
        near = {
            name: row for name, row in near.items() if all(a < b for a, b in zip(row["of_clips"], own, strict=True))
        } or {default: sound[default]}
    return min(near, key=lambda name: near[name]["crps"])


def _fewest(rows: dict[int, dict[str, Any]]) -> int:
    """The fewest levels that score as well as the best, within the standard error of the difference over clips."""
    rows = {steps: row for steps, row in rows.items() if not row["error"]}
    best = min(rows, key=lambda steps: rows[steps]["crps"])
    for steps in sorted(rows):
        change = np.subtract(rows[steps]["of_clips"], rows[best]["of_clips"])
        error = float(change.std(ddof=1)) / len(change) ** 0.5 if len(change) > 1 else 0.0
        if float(change.mean()) <= error:
            return steps
    return best
