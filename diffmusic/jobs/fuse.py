"""Two recordings through one fusion: read, learn the reference, fuse, compare, and what to write."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from diffmusic.audio import files
from diffmusic.audio.resample import resample
from diffmusic.editor.contract import Editor
from diffmusic.errors import InputError
from diffmusic.jobs import record
from diffmusic.jobs.seeded import seeded
from diffmusic.metrics.likeness import likeness
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import Count, Positive, checked, values
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.levels import sweep
from diffmusic.prior.progress import ProgressCallback
from diffmusic.reports.listening_page import Track
from diffmusic.tasks.adapter import Adapter, peft
from diffmusic.tasks.fuse import LEVEL, WINDOW, Fused, fuse, learn
from diffmusic.tasks.loading import load_editor
from diffmusic.tasks.settings import FuseSettings, LearnSettings

LEARNING = 0.8
"""Share of the progress bar spent on fine-tuning."""


@dataclass(frozen=True)
class FusionJob(FuseSettings):
    """Fusion of two files in plain values, as stored in a run record. A level of None is inf, which JSON
    has no word for."""

    level: float | None = LEVEL
    sweep: Count | None = None
    window: tuple[float, float] = WINDOW
    finetune: bool = True
    finetune_steps: Count = 300
    finetune_rate: Positive = 2e-3
    rank: Count = 8
    adapter: str | None = None
    solver: str = "fusion"
    solver_parameters: Mapping[str, Any] = field(default_factory=dict)
    model: str = "mini"
    device: str = "auto"
    dtype: str = "auto"

    @property
    def learns(self) -> bool:
        """Whether this run fine-tunes on the reference."""
        return self.finetune and self.adapter is None

    def prepare(self, access: Access = SAFE) -> PreparedFusion:
        """Load and check the components. Raises InputError for what does not exist or cannot be."""
        job = checked(self)
        if job.prompt is None and job.adapter is None:
            raise InputError("say what the reference is with `prompt`: it is what the sound is led by")
        if not job.finetune and job.adapter:
            raise InputError("`finetune=False` uses the prompt alone; leave `adapter` out")
        if "level" in job.solver_parameters:
            raise InputError("the level is given by `level`")
        level = math.inf if job.level is None else job.level
        levels = sweep(job.window, job.sweep) if job.sweep else (level,)
        editors = tuple(load_editor(job.solver, {**job.solver_parameters, "level": level}) for level in levels)
        if job.finetune:
            peft()
        adapter = Adapter.load(Path(job.adapter)) if job.adapter else None
        return PreparedFusion(job, levels, editors, adapter, access)


@dataclass(frozen=True)
class Fusions:
    """Result of a run.

    given: the original. result: the fusions, then, in a sweep, the reference that the prompt alone leads to.
    tracks: all there is to hear, from the original to the reference. adapter: what was learnt. document: the record.
    """

    given: files.Recording
    result: Fused
    tracks: tuple[Track, ...]
    adapter: Adapter | None
    document: dict[str, Any]


@dataclass(frozen=True)
class PreparedFusion:
    """Job with its components; the backbone is loaded on first use."""

    job: FusionJob
    levels: tuple[float, ...]
    editors: tuple[Editor, ...]
    adapter: Adapter | None
    access: Access

    @cached_property
    def backbone(self) -> Backbone:
        return self.access.load(self.job.model, self.job.device, self.job.dtype)

    def run(self, original: Path, reference: Path, progress: ProgressCallback | None = None) -> Fusions:
        """Fuse two recordings. Raises InputError for input that does not fit, Diverged for a run that blew up."""
        job, tell = self.job, progress or (lambda done: None)
        given, other = files.read(original), files.read(reference)
        prompt = job.prompt if job.prompt is not None else self.adapter.prompt if self.adapter else ""
        job = dataclasses.replace(job, prompt=prompt)
        adapter, learning, part = self.adapter, Costs(), LEARNING if job.learns else 0.0
        # A sweep shows also where it would end: what the prompt alone leads to.
        ends = [load_editor(job.solver, {**job.solver_parameters, "level": math.inf})] if job.sweep else []
        with seeded(job.seed):
            if job.learns:
                adapter = learn(
                    other.samples,
                    other.sample_rate,
                    self.backbone,
                    prompt,
                    LearnSettings(job.finetune_steps, job.finetune_rate, job.rank, job.seed),
                    costs=learning,
                    progress=lambda done: tell(part * done),
                )
            result = fuse(
                given.samples,
                given.sample_rate,
                [*self.editors, *ends],
                self.backbone,
                job,
                adapter=adapter,
                levels=self.levels,
                progress=lambda done: tell(part + (1 - part) * done),
            )
        tracks = self._tracks(given, other, result)
        described = dataclasses.asdict(job) | {"solver_parameters": values(self.editors[0])}
        described["solver_parameters"].pop("level", None)
        inputs = [original, reference, *([Path(job.adapter)] if job.adapter else [])]
        costs = record.spent(result.costs + learning, result.seconds)
        document = record.document("fuse", described, inputs, self.backbone.describe(), costs) | {
            "levels": self.levels,
            "sigmas": result.sigmas,
            "learning": {"losses": adapter.losses, **learning.as_dict()} if adapter and job.learns else None,
            "likeness": {track.title: dict(track.numbers) for track in tracks},
        }
        if adapter:
            document["versions"]["peft"] = metadata.version("peft")
        return Fusions(given, result, tracks, adapter if job.learns else None, document)

    def _tracks(self, given: files.Recording, other: files.Recording, result: Fused) -> tuple[Track, ...]:
        rate = given.sample_rate
        reference = _as_loud(other.samples, given.samples)
        named = [("original", result.round_trip)]
        named += [(f"sigma {level:.3g}", x) for level, x in zip(self.levels, result.audio, strict=False)]
        named += [("the prompt alone", x) for x in result.audio[len(self.levels) :]]
        tracks = []
        for title, x in named:
            to_original, to_reference = (
                likeness(x, rate, y, r) for y, r in ((result.round_trip, rate), (reference, other.sample_rate))
            )
            numbers = {
                "CLAP to original": to_original.clap,
                "CLAP to reference": to_reference.clap,
                "log-mel from original": to_original.log_mel,
                "log-mel from reference": to_reference.log_mel,
            }
            tracks.append(Track(title, x, rate, numbers))
        return (*tracks, Track("reference", resample(reference, other.sample_rate, rate), rate))


def _as_loud(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Scale a recording to the level of another, as the fusion does."""
    own, wanted = (float(np.sqrt(np.mean(np.square(each)))) for each in (x, like))
    return x * (wanted / own) if own > 0 else x
