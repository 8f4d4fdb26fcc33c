"""One recording through one edit: read, change, and what to write."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from diffmusic.audio import files
from diffmusic.audio.signal import Signal
from diffmusic.editor.contract import Editor
from diffmusic.errors import InputError
from diffmusic.jobs import record
from diffmusic.jobs.seeded import seeded
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import checked, values
from diffmusic.prior.backbone import Backbone
from diffmusic.prior.levels import strength
from diffmusic.prior.progress import ProgressCallback
from diffmusic.tasks.edit import EditedSignals, edited
from diffmusic.tasks.loading import load_editor
from diffmusic.tasks.lora import adapted
from diffmusic.tasks.segments import Segment
from diffmusic.tasks.settings import EditSettings


@dataclass(frozen=True)
class EditJob(EditSettings):
    """Edit of a file in plain values, as stored in a run record and read by ``--config``."""

    solver: str = "ddpm-inversion"
    solver_parameters: Mapping[str, Any] = field(default_factory=dict)
    model: str = "mini"
    adapter: str | None = None
    device: str = "auto"
    dtype: str = "auto"

    def prepare(self, access: Access = SAFE) -> PreparedEdit:
        """Load and check the components. Raises InputError for what does not exist or cannot be."""
        job = checked(self)
        segments = [Segment.parse(each) if isinstance(each, str) else each for each in job.segments]
        if not job.targets and not (segments and all(each.prompt is not None for each in segments)):
            raise InputError('say what the music is to become with `targets` ("" for nothing in particular)')
        return PreparedEdit(job, load_editor(job.solver, job.solver_parameters), access)


@dataclass(frozen=True)
class PreparedEdit:
    """Job with its components; the backbone is loaded on first use."""

    job: EditJob
    editor: Editor
    access: Access

    @cached_property
    def backbone(self) -> Backbone:
        backbone = self.access.load(self.job.model, self.job.device, self.job.dtype)
        return adapted(backbone, Path(self.job.adapter) if self.job.adapter else None)

    def start_at(self, step: int, of: int) -> PreparedEdit:
        """Replace the strength by the noise level of the paper's ``T_start``."""
        level = strength(self.backbone, step, of)
        return dataclasses.replace(self, job=dataclasses.replace(self.job, strength=level))

    def run(
        self, path: Path, progress: ProgressCallback | None = None
    ) -> tuple[files.Recording, Signal, EditedSignals, dict[str, Any]]:
        """Edit a recording; return its kind of file, its audio, the result and the run record.

        Raises InputError for input that does not fit, Diverged for a run that blew up.
        """
        job = self.job
        like, signal, _ = files.scanned(path, partial(files.check_finite, path))
        settings = job if job.targets else dataclasses.replace(job, targets=(job.source,))
        with seeded(job.seed):
            result = edited(signal, like.sample_rate, self.editor, self.backbone, settings, progress=progress)
        described = dataclasses.asdict(job) | {"solver_parameters": values(self.editor)}
        costs = record.spent(result.costs, result.seconds)
        document = record.document("edit", described, [path], self.backbone.describe(), costs)
        adapter = record.files([Path(job.adapter)] if job.adapter else [])
        return like, signal, result, document | {"edited": result.stretch, "sigmas": result.sigmas, "adapter": adapter}
