"""One recording explored: its directions, and what it sounds like along each."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffmusic.audio import files
from diffmusic.editor.directions import Directions, find, follow
from diffmusic.errors import Diverged, InputError
from diffmusic.jobs import record
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import Amount, Count, Positive, Seed, checked
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.guidance import Tick
from diffmusic.tasks.edit import FADE, STRENGTH, Setup
from diffmusic.tasks.segments import Segment


@dataclass(frozen=True)
class ExploreJob:
    """What to do, in plain values: what a run record holds and ``--config`` reads. ``source_guidance`` is 1 as only an
    unguided denoiser is a posterior mean, and its Jacobian a covariance."""

    source: str = ""
    solver: str = "posterior-pc"
    solver_parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    model: str = "mini"
    components: Count = 3
    amount: float = 2.0
    at: Positive | None = None
    until: Amount = 0.0
    strength: Amount = STRENGTH
    steps: Count = 25
    products: Count = 15
    tolerance: Amount = 0.02
    step: Positive = 0.1
    central: bool = False
    source_guidance: Amount = 1.0
    segments: Sequence[str] = ()
    fade: Amount = FADE
    seed: Seed = 0
    batch: Count | None = None
    device: str = "auto"
    dtype: str = "auto"

    def prepare(self, access: Access = SAFE) -> PreparedExploration:
        """Check what was asked for. Raises InputError for what cannot be."""
        job = checked(self)
        if job.products < job.components:
            raise InputError(f"--products {job.products}: no fewer than --components, {job.components}")
        return PreparedExploration(job, access)


@dataclass(frozen=True)
class Explored:
    """recording: what was explored. audio: (2 * components, channels, time), each component added and subtracted.
    document: the run record."""

    recording: files.Recording
    directions: Directions
    audio: np.ndarray
    document: dict[str, Any]


@dataclass(frozen=True)
class PreparedExploration:
    """A job for one recording after another; the backbone loads when it is first needed."""

    job: ExploreJob
    access: Access

    @cached_property
    def backbone(self) -> Backbone:
        return self.access.load(self.job.model, self.job.device, self.job.dtype)

    def run(self, path: Path, progress: Tick | None = None, render: bool = True) -> Explored:
        """Find the directions of a recording, and follow each of them both ways (unless not to ``render``).

        Raises InputError for input that does not fit, Diverged for a run that blew up.
        """
        started, costs, job, recording = time.perf_counter(), Costs(), self.job, files.read(path)
        torch.manual_seed(job.seed)  # for third-party code that draws outside the generators it is given
        setup = Setup.of(
            recording.samples, recording.sample_rate, self.backbone, costs, targets=(job.source,), source=job.source,
            negative_prompt="", strength=job.strength, steps=job.steps, guidance=job.source_guidance,
            source_guidance=job.source_guidance, segments=tuple(Segment.parse(each) for each in job.segments), hold=1.0,
            fade=job.fade, batch=job.batch,
        )  # fmt: skip
        parts = [0.7, *[0.3 / (2 * job.components)] * (2 * job.components)] if render else [1.0]

        def ticker(number: int) -> Tick:
            begun = sum(parts[:number])
            return lambda done: progress(begun + parts[number] * done) if progress else None

        audio = np.repeat(recording.samples[None].astype(float), 2 * job.components if render else 0, axis=0)
        with torch.no_grad():
            task = setup.task(job.seed, tick=ticker(0))
            found = find(task, job.components, job.products, job.tolerance, job.step, job.central, job.seed)
            for number in range(len(audio)):
                weights = [float(number // 2 == each) for each in range(job.components)]
                task = setup.task(job.seed, tick=ticker(number + 1))
                signed = job.amount if number % 2 == 0 else -job.amount
                setup.put_back(follow(task, found, weights, signed, job.at, job.until), audio[number])
        if not np.isfinite(audio).all():
            raise Diverged("the audio is not finite")
        model, described = self.backbone.describe(), dataclasses.asdict(job)
        spent = {**costs.as_dict(), "seconds": round(time.perf_counter() - started, 3)}
        document = record.document("explore", described, [path], model, spent) | {
            "sigmas": found.sigmas.tolist(),
            "eigenvalues": found.values.tolist(),
            "residuals": found.residuals.tolist(),
            "entropy": found.entropy.tolist(),
            "products": found.about["products"],
        }
        about = {**found.about, "model": model, "job": described, "input": document["inputs"][0]}
        return Explored(recording, dataclasses.replace(found, about=about), audio, document)


def average(explored: Sequence[Directions]) -> Directions:
    """Directions whose eigenvalues are the mean over recordings; the vectors, of one element, stand for none.

    The values at a level are much the same for all music (arXiv:2402.10009, section 3.3).
    """
    first = explored[0]
    if any(each.values.shape != first.values.shape or not torch.equal(each.sigmas, first.sigmas) for each in explored):
        raise InputError("only directions at the same levels and with as many components can be averaged")
    values = torch.stack([each.values for each in explored]).mean(0)
    residuals = torch.stack([each.residuals for each in explored]).mean(0)
    about = {"averaged": len(explored), "model": first.about.get("model", {})}
    return Directions(first.sigmas, torch.zeros(*values.shape, 1, 1), values, residuals, about)
