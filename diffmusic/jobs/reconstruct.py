"""Reconstructions of one recording, whose latents enter a walk at several noise levels and in several ways."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diffmusic.audio import files
from diffmusic.editor.contract import Editor
from diffmusic.errors import InputError
from diffmusic.jobs import record
from diffmusic.jobs.seeded import seeded
from diffmusic.metrics.likeness import likeness
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import Count, checked, values
from diffmusic.prior.progress import ProgressCallback
from diffmusic.tasks.fuse import fuse
from diffmusic.tasks.loading import load_editor
from diffmusic.tasks.settings import FuseSettings

# What the paper puts in after 0, 80, 120, 140 and 160 of 200 steps, on Stable Audio's levels from 500 down to 0.3.
PAPER = (500.0, 25.2, 5.71, 2.71, 1.29)
FIGURES: dict[str, tuple[tuple[float, ...], dict[str, dict[str, Any]]]] = {
    "1": (
        (PAPER[0], PAPER[1], PAPER[3]),
        {
            "inverted": {"reset": False},
            "diffused": {"reset": False, "injected": "diffused"},
            "stochastic": {"reset": False, "injected": "stochastic"},
        },
    ),
    "2": (
        (PAPER[0],),
        {
            "from scratch": {"level": math.inf},
            "inverted": {},
            "diffused": {"injected": "diffused"},
        },
    ),
    "A.1": (PAPER, {f"order {order}": {"reset": False, "order": order} for order in (1, 2, 3)}),
}
"""Figures of J. Liu and E. Lian, "Abstract Sound Fusion with Unconditioned Inversion Model": levels, and for each row
the parameters of the solver. Figure 2's row of Stable Audio 2.0, a closed service, is left out."""


@dataclass(frozen=True)
class ReconstructJob(FuseSettings):
    """What to do, in plain values: what a run record holds and ``--config`` reads. figure, in place of levels: one of
    ``FIGURES``. A level of None is inf, which JSON has no word for."""

    levels: Sequence[float | None] = ()
    figure: str | None = None
    prompt: str | None = ""
    steps: Count = 200
    solver: str = "fusion"
    solver_parameters: Mapping[str, Any] = field(default_factory=dict)
    model: str = "mini"
    device: str = "auto"
    dtype: str = "auto"

    def prepare(self, access: Access = SAFE) -> PreparedReconstruction:
        """Load and check the components. Raises InputError for what does not exist or cannot be."""
        job = checked(self)
        if bool(job.figure) == bool(job.levels):
            raise InputError(f"say at which noise levels, with `levels`, or `figure` {', '.join(FIGURES)}: either")
        own = tuple(math.inf if level is None else level for level in job.levels)
        levels, rows = FIGURES[job.figure] if job.figure else (own, {"": {}})
        editors = {
            f"{name}{', ' if name else ''}sigma {level:.3g}": load_editor(
                job.solver, {**job.solver_parameters, "level": level, **row}
            )
            for name, row in rows.items()
            for level in levels
        }
        return PreparedReconstruction(job, levels, editors, access)


@dataclass(frozen=True)
class PreparedReconstruction:
    """A job with its solvers, each under the title of what it makes, row after row of ``len(levels)``."""

    job: ReconstructJob
    levels: tuple[float, ...]
    editors: Mapping[str, Editor]
    access: Access

    def run(
        self, path: Path, progress: ProgressCallback | None = None
    ) -> tuple[files.Recording, dict[str, np.ndarray], np.ndarray, dict[str, Any]]:
        """The recording, what became of it by title, its round trip, and the run record.

        Raises InputError for input that does not fit, Diverged for a run that blew up.
        """
        job, recording = self.job, files.read(path)
        backbone, rate = self.access.load(job.model, job.device, job.dtype), recording.sample_rate
        with seeded(job.seed):
            made = fuse(
                recording.samples,
                rate,
                [*self.editors.values()],
                backbone,
                job,
                levels=self.levels,
                progress=progress,
            )
        audio = dict(zip(self.editors, made.audio, strict=True))
        costs = record.spent(made.costs, made.seconds)
        document = record.document("reconstruct", dataclasses.asdict(job), [path], backbone.describe(), costs) | {
            "sigmas": made.sigmas,
            "made": [{"title": title, **values(editor)} for title, editor in self.editors.items()],
            "likeness": {
                title: dataclasses.asdict(likeness(x, rate, made.round_trip, rate)) for title, x in audio.items()
            },
        }
        return recording, audio, made.round_trip, document
