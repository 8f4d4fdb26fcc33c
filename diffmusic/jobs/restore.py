"""One recording through one run: read, damage if asked, restore, measure, and what to write."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from diffmusic.audio.signal import Signal
from diffmusic.audio.spread import Spread, spread
from diffmusic.errors import InputError
from diffmusic.jobs import inputs, kept_checks, record
from diffmusic.jobs.seeded import seeded
from diffmusic.metrics.contract import load_metric, measure_signals
from diffmusic.models.components import load_component
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import checked, values
from diffmusic.plugins import registry
from diffmusic.prior.backbone import Backbone
from diffmusic.prior.progress import ProgressCallback
from diffmusic.problem.operator import HasMadeUp, Operator, has_place, sources
from diffmusic.solver.contract import AnySolver, DirectSolver, PartialSolver
from diffmusic.tasks.loading import advice, default_solver, load_restorer
from diffmusic.tasks.lora import adapted
from diffmusic.tasks.restore import restored
from diffmusic.tasks.settings import RestoreSettings
from diffmusic.tasks.snapshot import StepCallback
from diffmusic.tasks.solving import Task


@dataclass(frozen=True, kw_only=True)
class RestoreJob(RestoreSettings):
    """Restoration of a file in plain values, as stored in a run record and read by ``--config``.

    solver: "" stands for the operator's default.
    """

    operator: str
    operator_parameters: Mapping[str, Any] = field(default_factory=dict)
    solver: str = ""
    solver_parameters: Mapping[str, Any] = field(default_factory=dict)
    model: str = "mini"
    simulate: bool = False
    snr: float | None = None
    adapter: str | None = None
    device: str = "auto"
    dtype: str = "auto"

    @classmethod
    def from_record(cls, recorded: Mapping[str, Any]) -> RestoreJob:
        """Read the job of a run record. Raises InputError for another kind."""
        return record.job(recorded, cls)

    def prepare(self, access: Access = SAFE, left: Collection[str] = ()) -> Prepared:
        """Load and check the components.

        Args:
            access: Permissions for loading the prior.
            left: ``solver``, ``steps`` or both: what may be chosen by what a check of the prior found.

        Raises:
            InputError: A name or a parameter does not exist.
        """
        job = checked(self)
        if job.snr is not None and (job.noise_std or not job.simulate):
            raise InputError("`snr` adds noise with `simulate`, and takes the place of `noise_std`")
        operator = load_component("operator", job.operator, job.operator_parameters)
        if not job.simulate and isinstance(operator, HasMadeUp) and operator.made_up:
            raise InputError(operator.made_up)
        job = dataclasses.replace(job, solver=job.solver or default_solver(operator))
        solver = load_restorer(job.solver, job.solver_parameters)
        return Prepared(job, operator, solver, access, frozenset(left))


@dataclass(frozen=True)
class Prepared:
    """Job with its components, for one recording after another; the backbone is loaded on first use."""

    job: RestoreJob
    operator: Operator
    solver: AnySolver
    access: Access
    left: frozenset[str] = frozenset()
    advice: Mapping[str, Any] | None = None

    @cached_property
    def backbone(self) -> Backbone | None:
        if isinstance(self.solver, DirectSolver):
            return None
        backbone = self.access.load(self.job.model, self.job.device, self.job.dtype)
        return adapted(backbone, Path(self.job.adapter) if self.job.adapter else None)

    def with_operator(self, parameters: Mapping[str, Any]) -> Prepared:
        """Change parameters of the operator, for a file with its own; the backbone stays loaded."""
        job = dataclasses.replace(self.job, operator_parameters={**self.job.operator_parameters, **parameters})
        operator = load_component("operator", job.operator, job.operator_parameters)
        other = dataclasses.replace(self, job=job, operator=operator)
        if "backbone" in self.__dict__:
            other.__dict__["backbone"] = self.backbone
        return other

    def advised(self) -> Prepared:
        """The same with the solver and the noise levels that ``diffmusic models check`` found best for the prior, as
        far as they are left to it; ``auto`` keeps its own rows, and takes the solver for the rest."""
        if not self.left or isinstance(self.solver, DirectSolver) or not kept_checks.any_kept() or not self.backbone:
            return self
        kind = "gap" if has_place(self.operator) else "band"
        found = kept_checks.advice(str(self.backbone.describe().get("sha256", "")), kind)
        if found is None:
            return self
        job = self.job
        if "steps" in self.left:
            job = dataclasses.replace(job, steps=found["steps"])
        if "solver" in self.left and isinstance(self.solver, PartialSolver):
            job = dataclasses.replace(job, solver_parameters={"prior": found["solver"]})
        elif "solver" in self.left:
            job = dataclasses.replace(job, solver=found["solver"])
        solver = load_restorer(job.solver, job.solver_parameters)
        changed = dataclasses.replace(self, job=job, solver=solver, advice=found)
        changed.__dict__["backbone"] = self.backbone
        return changed

    @property
    def sources(self) -> int:
        """Sources of a mixture: files that a result is made of, and clean files that a simulation mixes."""
        return sources(self.operator)

    def run(
        self,
        paths: Sequence[Path],
        references: Sequence[Path] = (),
        progress: ProgressCallback | None = None,
        on_step: StepCallback | None = None,
    ) -> Outcome:
        """Restore one recording, or simulate one from all its sources.

        Raises InputError for input that does not fit, Diverged for a run that blew up.
        """
        if (advised := self.advised()) is not self:
            return dataclasses.replace(advised, left=frozenset()).run(paths, references, progress, on_step)
        job, operator = self.job, self.operator
        task = Task(operator, self.solver, lambda: self.backbone, job, progress, on_step)
        if job.simulate:
            given = inputs.simulate(task, paths, job.snr)
            task = dataclasses.replace(task, settings=dataclasses.replace(job, noise_std=given.noise_std))
        else:
            given = inputs.read(task, paths[0], references)
        with seeded(job.seed):
            result = restored(given.measured, given.sample_rate, task, length=given.length, survey=given.survey)
        for doubt in result.doubts:
            warnings.warn(f"{doubt}; {advice(operator, str(job.solver))}", stacklevel=2)
        lost = list(result.damage)
        before, clean = given.comparison(operator), given.clean
        differ = spread(result.draws, result.sample_rate, lost)
        draws = tuple(result.draws[sample] for sample in differ.order) if differ else result.draws
        scores = [] if clean is None else [
            measure(clean, drawn, before, lost, result.sample_rate) for drawn in draws
        ]  # fmt: skip
        model = self.backbone.describe() if result.windows and self.backbone else None
        costs = record.spent(result.costs, result.seconds)
        document = record.document("solve", self.describe(), paths, model, costs) | {
            "measured": {
                "shape": given.shape,
                "sample_rate": given.sample_rate,
                "format": given.like.format,
                "subtype": given.like.subtype,
                "noise_std": given.noise_std,
            },
            "references": record.files(references),
            "adapter": record.files([Path(self.job.adapter)] if self.job.adapter else []),
            "advice": self.advice,
            "windows": result.windows,
            "notes": result.notes,
            "doubts": result.doubts,
            "samples": differ.as_dict() | {"text": differ.text()} if differ else None,
            "metrics": scores,
        }
        return Outcome(given, draws, result.sample_rate, self.sources, lost, differ, document)

    def describe(self) -> dict[str, Any]:
        """The job with every default written out."""
        return dataclasses.asdict(self.job) | {
            "operator_parameters": values(self.operator),
            "solver_parameters": values(self.solver),
        }


@dataclass(frozen=True)
class Outcome:
    """Result of a run.

    given: what was restored; draws: one a posterior sample, the medoid first, at ``sample_rate``, source after source
    where there are several; lost: damaged intervals in samples; spread: of the samples; document: the run record.
    """

    given: inputs.Measurement
    draws: tuple[Signal, ...]
    sample_rate: int
    sources: int
    lost: list[tuple[int, int]]
    spread: Spread | None
    document: dict[str, Any]


def measure(
    clean: Signal, estimate: Signal, before: Signal | None, lost: list[tuple[int, int]], sample_rate: int
) -> dict[str, dict[str, float]]:
    """Measure the estimate, and what was measured where that is audio, against the truth.

    By every metric that is always reported (``Spec.reported``), over the whole recording and over the damaged stretches
    alone (``measure_damage``). Recordings are read where that is needed.
    """
    scores: dict[str, dict[str, float]] = {}
    whole = [(0, clean.samples)]
    for name, spec in registry().components("metric").items():
        if not spec.reported:
            continue
        metric: Any = load_metric(name)
        versions = {"restored": estimate} | ({} if before is None else {"damaged": before})
        scores[name] = {
            version: float(measure_signals(metric, clean, x, sample_rate)) for version, x in versions.items()
        }
        if lost and lost != whole:
            scores[name] |= {
                f"{version}_in_damage": measure_signals(metric, clean, x, sample_rate, lost)
                for version, x in versions.items()
            }
    return scores
