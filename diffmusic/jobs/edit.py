"""One recording through one edit, or through a sweep of its strength: read, change, and what to write."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from diffmusic.audio import files
from diffmusic.audio.signal import Signal
from diffmusic.editor.contract import AnyEditor, AudioEditor, Graded
from diffmusic.errors import InputError
from diffmusic.jobs import record
from diffmusic.jobs.seeded import seeded
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import Count, checked, values
from diffmusic.prior.backbone import Backbone
from diffmusic.prior.levels import strength, sweep
from diffmusic.prior.progress import ProgressCallback
from diffmusic.tasks.edit import edited
from diffmusic.tasks.edit_result import EditedSignals
from diffmusic.tasks.loading import load_any_editor
from diffmusic.tasks.lora import adapted
from diffmusic.tasks.segments import Segment
from diffmusic.tasks.settings import EditSettings, several

WINDOW = (0.5, 8.0)
"""Default strengths of a sweep: those that benchmarks/results/edits.json was measured between."""


@dataclass(frozen=True)
class EditJob(EditSettings):
    """Edit of a file in plain values, as stored in a run record and read by ``--config``.

    Attributes:
        sweep: Strengths to render across ``window``, evenly in log sigma, instead of ``strength``; an editor that
            follows directions goes from the negative of its amount to its amount instead.
        window: Lowest and highest strength of a sweep.
    """

    sweep: Count | None = None
    window: tuple[float, float] = WINDOW

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
        if job.sweep and segments and all(each.strength is not None for each in segments):
            raise InputError("`sweep`: every segment has a strength of its own, so that there is nothing to sweep")
        prepared = PreparedEdit(job, load_any_editor(job.solver, job.solver_parameters), access)
        prepared.grades()
        return prepared


@dataclass(frozen=True)
class PreparedEdit:
    """Job with its components; the backbone is loaded on first use."""

    job: EditJob
    editor: AnyEditor
    access: Access

    @cached_property
    def backbone(self) -> Backbone:
        backbone = self.access.load(self.job.model, self.job.device, self.job.dtype)
        return adapted(backbone, Path(self.job.adapter) if self.job.adapter else None)

    def start_at(self, step: int, of: int) -> PreparedEdit:
        """Replace the strength by the noise level of the paper's ``T_start``."""
        level = strength(self.backbone, step, of)
        other = dataclasses.replace(self, job=dataclasses.replace(self.job, strength=level))
        other.__dict__["backbone"] = self.backbone
        return other

    def grades(self) -> tuple[Grade, ...]:
        """Return what is rendered: the edit itself, or each strength of a sweep."""
        job = self.job
        if not job.sweep:
            return (Grade("", self.editor, job.strength),)
        if isinstance(self.editor, AudioEditor):
            raise InputError(f"`sweep`: the solver {job.solver} has no strength to sweep")
        if isinstance(self.editor, Graded):
            return tuple(Grade(name, editor, job.strength) for name, editor in self.editor.graded(job.sweep))
        return tuple(Grade(f"strength {level:.3g}", self.editor, level) for level in sweep(job.window, job.sweep))

    def run(
        self, path: Path, progress: ProgressCallback | None = None
    ) -> tuple[files.Recording, Signal, EditedSignals, dict[str, Any]]:
        """Edit a recording; return its kind of file, its audio, the result and the run record.

        The draws of a sweep are in the order target, strength, sample. Raises InputError for input that does not fit,
        Diverged for a run that blew up.
        """
        job, grades = self.job, self.grades()
        like, signal, _ = files.scanned(path, partial(files.check_finite, path))
        settings = job if job.targets else dataclasses.replace(job, targets=(job.source,))
        results, alone = [], isinstance(self.editor, AudioEditor)
        with seeded(job.seed):
            for number, grade in enumerate(grades):

                def tell(done: float, number: int = number) -> None:
                    if progress:
                        progress((number + done) / len(grades))

                results.append(
                    edited(
                        signal,
                        like.sample_rate,
                        grade.editor,
                        None if alone else self.backbone,
                        dataclasses.replace(settings, strength=grade.strength),
                        round_trip=bool(job.sweep) and number == 0,
                        progress=tell,
                    )
                )
        result = _joined(results, max(1, len(several(settings.targets))), job.samples)
        described = dataclasses.asdict(job) | {"solver_parameters": values(self.editor)}
        costs = record.spent(result.costs, result.seconds)
        model = self.editor.describe() if isinstance(self.editor, AudioEditor) else self.backbone.describe()
        document = record.document("edit", described, [path], model, costs)
        adapter = record.files([Path(job.adapter)] if job.adapter else [])
        document |= {"edited": result.stretch, "sigmas": result.sigmas, "adapter": adapter}
        if job.sweep:
            document["sweep"] = [
                {"name": grade.name, "parameters": values(grade.editor), "sigmas": each.sigmas}
                for grade, each in zip(grades, results, strict=True)
            ]
        return like, signal, result, document


@dataclass(frozen=True)
class Grade:
    """One strength of an edit, with its name in a sweep."""

    name: str
    editor: AnyEditor
    strength: float


def _joined(results: Sequence[EditedSignals], targets: int, samples: int) -> EditedSignals:
    """Join the results of several strengths, in the order target, strength, sample."""
    draws = [
        each.draws[target * samples + sample]
        for target in range(targets)
        for each in results
        for sample in range(samples)
    ]
    costs = sum((each.costs for each in results[1:]), start=results[0].costs)
    return dataclasses.replace(
        results[0], draws=tuple(draws), costs=costs, seconds=sum(each.seconds for each in results)
    )
