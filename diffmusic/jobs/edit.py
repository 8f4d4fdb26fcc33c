"""One recording through one edit: read, change, and what to write."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch

from diffmusic.audio import files
from diffmusic.editor.contract import Editor
from diffmusic.errors import InputError
from diffmusic.jobs import record
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import Amount, Count, Field, Seed, build, checked, values
from diffmusic.plugins import registry
from diffmusic.prior.backbone import Backbone
from diffmusic.prior.guidance import Tick
from diffmusic.prior.levels import strength
from diffmusic.tasks.edit import FADE, GUIDANCE, SOURCE_GUIDANCE, STRENGTH, Edited, edit
from diffmusic.tasks.segments import Segment


@dataclass(frozen=True)
class EditJob:
    """What to do, in plain values: what a run record holds and ``--config`` reads."""

    targets: Sequence[str] = ()
    source: str = ""
    negative_prompt: str = ""
    solver: str = "ddpm-inversion"
    solver_parameters: Mapping[str, Any] = field(default_factory=dict)
    model: str = "mini"
    strength: Amount = STRENGTH
    steps: Count = 50
    guidance: Amount = GUIDANCE
    source_guidance: Amount = SOURCE_GUIDANCE
    segments: Sequence[str] = ()
    hold: Annotated[float, Field(ge=0, le=1)] = 1.0
    fade: Amount = FADE
    seed: Seed = 0
    samples: Count = 1
    batch: Count | None = None
    device: str = "auto"
    dtype: str = "auto"

    def prepare(self, access: Access = SAFE) -> PreparedEdit:
        """Load and check the components. Raises InputError for what does not exist or cannot be."""
        job = checked(self)
        segments = tuple(Segment.parse(each) for each in job.segments)
        if not job.targets and not (segments and all(each.prompt is not None for each in segments)):
            raise InputError('say what the music is to become with --target TEXT ("" for nothing in particular)')
        return PreparedEdit(job, load_editor(job.solver, job.solver_parameters), segments, access)


def load_editor(name: str, parameters: Mapping[str, Any]) -> Editor:
    """A solver that edits, by its name. Raises InputError for one that does something else."""
    editor = build(registry().load("solver", name), parameters, f"solver {name!r}")
    if not isinstance(editor, Editor):
        known = [each for each, spec in registry().components("solver").items() if "editor" in spec.tags]
        raise InputError(f"solver {name!r} restores recordings and edits none. Those that do: {', '.join(known)}")
    return editor


@dataclass(frozen=True)
class PreparedEdit:
    """A job with its components; the backbone loads when it is first needed."""

    job: EditJob
    editor: Editor
    segments: tuple[Segment, ...]
    access: Access

    @cached_property
    def backbone(self) -> Backbone:
        return self.access.load(self.job.model, self.job.device, self.job.dtype)

    def start_at(self, step: int, of: int) -> PreparedEdit:
        """The same from the noise level of the paper's ``T_start``."""
        level = strength(self.backbone, step, of)
        return dataclasses.replace(self, job=dataclasses.replace(self.job, strength=level))

    def run(self, path: Path, progress: Tick | None = None) -> tuple[files.Recording, Edited, dict[str, Any]]:
        """The recording, what became of it, and the run record.

        Raises InputError for input that does not fit, Diverged for a run that blew up.
        """
        job, recording = self.job, files.read(path)
        torch.manual_seed(job.seed)  # for third-party code that draws outside the generators it is given
        result = edit(
            recording.samples,
            recording.sample_rate,
            self.editor,
            self.backbone,
            targets=job.targets or (job.source,),
            source=job.source,
            negative_prompt=job.negative_prompt,
            strength=job.strength,
            steps=job.steps,
            guidance=job.guidance,
            source_guidance=job.source_guidance,
            segments=self.segments,
            hold=job.hold,
            fade=job.fade,
            seed=job.seed,
            samples=job.samples,
            batch=job.batch,
            progress=progress,
        )
        described = dataclasses.asdict(job) | {"solver_parameters": values(self.editor)}
        costs = {**result.costs.as_dict(), "seconds": round(result.seconds, 3)}
        document = record.document("edit", described, [path], self.backbone.describe(), costs)
        return recording, result, document | {"edited": result.stretch, "sigmas": result.sigmas}
