"""One recording explored: read, find its directions, and what to write."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from diffmusic.audio import files
from diffmusic.editor.directions import Directions
from diffmusic.jobs import record
from diffmusic.jobs.explore_page import blind_page, sureness
from diffmusic.jobs.seeded import seeded
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import checked
from diffmusic.prior.backbone import Backbone
from diffmusic.prior.progress import ProgressCallback
from diffmusic.tasks.explore import explore, validate
from diffmusic.tasks.settings import ExploreSettings


@dataclass(frozen=True)
class ExploreJob(ExploreSettings):
    """Exploration of a file in plain values, as stored in a run record and read by ``--config``."""

    solver: str = "posterior-pc"
    solver_parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    model: str = "mini"
    device: str = "auto"
    dtype: str = "auto"

    def prepare(self, access: Access = SAFE) -> PreparedExploration:
        """Check what was asked for. Raises InputError for what cannot be."""
        job = checked(self)
        validate(job)
        return PreparedExploration(job, access)


@dataclass(frozen=True)
class Explored:
    """recording: what was explored. audio: (2 * components, channels, time), each component added and subtracted.
    document: the run record. page: what there is to listen to, where it was asked for."""

    recording: files.Recording
    directions: Directions
    audio: np.ndarray
    document: dict[str, Any]
    page: bytes | None = None


@dataclass(frozen=True)
class PreparedExploration:
    """Job for one recording after another; the backbone is loaded on first use."""

    job: ExploreJob
    access: Access

    @cached_property
    def backbone(self) -> Backbone:
        return self.access.load(self.job.model, self.job.device, self.job.dtype)

    def run(
        self, path: Path, progress: ProgressCallback | None = None, render: bool = True, listen: bool = False
    ) -> Explored:
        """Find the directions of a recording, and follow each of them both ways (unless not to ``render``); ``listen``
        adds the page.

        Raises InputError for input that does not fit, Diverged for a run that blew up.
        """
        job, recording = self.job, files.read(path)
        with seeded(job.seed):
            result = explore(
                recording.samples,
                recording.sample_rate,
                self.backbone,
                job,
                render=render,
                listen=listen,
                progress=progress,
            )
        found, model, described = result.directions, self.backbone.describe(), dataclasses.asdict(job)
        document = record.document("explore", described, [path], model, record.spent(result.costs, result.seconds)) | {
            "sigmas": found.sigmas.tolist(),
            "eigenvalues": found.values.tolist(),
            "residuals": found.residuals.tolist(),
            "entropy": found.entropy.tolist(),
            "products": found.about["products"],
            "gaps": found.gaps.tolist(),
            "angles_degrees": found.angles.tolist(),
            "unfinished_levels": [float(found.sigmas[level]) for level in found.unfinished(job.tolerance)],
            "notes": [{"text": line} for line in sureness(found, job.tolerance)],
        }
        shown = blind_page(path.name, result, described) if listen else None
        about = {**found.about, "model": model, "job": described, "input": document["inputs"][0]}
        return Explored(recording, dataclasses.replace(found, about=about), result.audio, document, shown)
