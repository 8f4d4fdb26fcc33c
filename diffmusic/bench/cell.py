"""Execution of one benchmark cell: one clip through one row of one problem, and its scores."""

from __future__ import annotations

import io
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import soundfile
import torch

from diffmusic.audio.resample import resample
from diffmusic.bench.clips import Material
from diffmusic.bench.damage import Damage
from diffmusic.bench.damaged_lsd import damaged_lsd
from diffmusic.bench.named import Named
from diffmusic.bench.rows import Settings
from diffmusic.bench.samples import calibration, medoid, summary
from diffmusic.bench.scoring import score
from diffmusic.errors import DiffmusicError, reason
from diffmusic.jobs import record
from diffmusic.jobs.inputs import like_truth
from diffmusic.jobs.seeded import seeded
from diffmusic.models.load import load_model, resolve_device
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.problem.operator import is_noisy
from diffmusic.tasks.edit import edit
from diffmusic.tasks.encoded_recording import EncodedRecording
from diffmusic.tasks.restore import restore

Kind = Literal["truth", "measurement", "round trip", "solve", "edit"]


@dataclass(frozen=True)
class Task:
    """Work on one clip, in values that any process understands.

    Attributes:
        kind: truth: measure the clip itself; measurement: measure the operator's output, which a solver has to better;
            round trip: encode and decode the clip, the ceiling of what the prior can restore; solve; edit.
        keep: return the audio too.
    """

    kind: Kind
    metrics: tuple[Named, ...]
    operator: Named | None = None
    solver: Named | None = None
    settings: Settings = field(default_factory=Settings)
    snr: float | None = None
    seed: int = 0
    model: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False
    keep: bool = False


@dataclass(frozen=True)
class Result:
    """Outcome of a cell: its record, and the audio to keep, as FLAC files by name."""

    record: dict[str, Any]
    sounds: Mapping[str, bytes]


def lost(why: str) -> Result:
    """Return the result of a cell whose worker died before it had one."""
    return Result({"error": why, "seconds": 0.0}, {})


def run(task: Task, material: Material) -> Result:
    """Run a task. Never raises: a failure is returned as a record with ``error``."""
    started = time.perf_counter()
    sounds: dict[str, np.ndarray] = {}
    facts: dict[str, Any] = {"error": None}
    try:
        with seeded(task.seed):
            facts |= _DO[task.kind](task, material, sounds)
    except Exception as error:
        why = str(error) if isinstance(error, DiffmusicError) else reason(error)
        facts |= {"error": why, "traceback": traceback.format_exc()}
        sounds = {}
    facts |= {
        "seconds": round(facts.get("seconds", time.perf_counter() - started), 3),
        "versions": record.versions(),
        "device": str(_backbone(task).device) if task.model and not facts["error"] else "cpu",
        "threads": torch.get_num_threads(),
        "peak_memory_bytes": record.peak_memory(),
    }
    kept = {name: _flac(audio, material.sample_rate) for name, audio in sounds.items()} if task.keep else {}
    return Result(facts, kept)


@lru_cache(maxsize=1)
def _loaded(model: str, device: str, dtype: str, offline: bool) -> Backbone:
    return load_model(model, resolve_device(device), dtype, offline)


def _backbone(task: Task) -> Backbone:
    assert task.model is not None
    return _loaded(task.model, task.device, task.dtype, task.offline)


def describe_model(model: str, device: str, dtype: str, offline: bool) -> dict[str, Any]:
    """Describe a prior for the record, including the hash of its weights."""
    return _loaded(model, device, dtype, offline).describe()


def _damage(task: Task, material: Material) -> Damage:
    assert task.operator is not None
    return Damage.of(task.operator, material, task.snr, task.seed)


def _truth(task: Task, material: Material, sounds: dict[str, np.ndarray]) -> dict[str, Any]:
    """Measure the clip itself: the reference for the embeddings of estimates."""
    damage = _damage(task, material) if task.operator else None
    if damage and damage.measured.ndim == 2:
        length = material.clean.shape[-1]
        sounds["measured"] = resample(damage.measured, damage.rate, material.sample_rate, length)
    sounds |= _heard("clean", material.clean, damage.sources if damage else 1)
    prompt = material.prompt if task.operator else material.target
    measured = score(task.metrics, material.clean, material.clean, material.sample_rate, prompt, damage, task.offline)
    return {"finished": measured}


def _measurement(task: Task, material: Material, sounds: dict[str, np.ndarray]) -> dict[str, Any]:
    """Measure the operator's output; for a mixture, against every source."""
    damage = _damage(task, material)
    audio = like_truth(damage.measured, damage.rate, material.clean, material.sample_rate)
    return {"finished": _measured(task, material, damage, audio)}


def _heard(name: str, audio: np.ndarray, sources: int) -> dict[str, np.ndarray]:
    """Name the audio to keep: one file, or one for each source."""
    if sources == 1:
        return {name: audio}
    return {f"{name}-{number}": part for number, part in enumerate(np.split(audio, sources), 1)}


def _round_trip(task: Task, material: Material, sounds: dict[str, np.ndarray]) -> dict[str, Any]:
    """Measure each source, encoded and decoded."""
    backbone = _backbone(task)
    damage = _damage(task, material) if task.operator else None
    costs, started = Costs(), time.perf_counter()
    parts = np.split(material.clean, damage.sources if damage else 1)
    audio = np.concatenate([EncodedRecording.of(x, material.sample_rate, backbone, costs).round_trip() for x in parts])
    spent = {**costs.as_dict()}, time.perf_counter() - started
    sounds |= _heard("estimate", audio, len(parts))
    return {"finished": _measured(task, material, damage, audio), "costs": spent[0], "seconds": spent[1]}


def _solve(task: Task, material: Material, sounds: dict[str, np.ndarray]) -> dict[str, Any]:
    """Restore the clip, and measure the raw and the finished estimate: the medoid, where there are several samples."""
    assert task.solver is not None
    damage = _damage(task, material)
    backbone = _backbone(task) if task.model else None
    result = restore(
        damage.measured,
        damage.rate,
        damage.given,
        task.solver.component("solver"),
        backbone,
        task.settings.restoring(material.prompt, seed=task.seed, noise_std=damage.noise_std),
        length=material.clean.shape[-1],
    )
    highest = 0.95 * backbone.sample_rate / 2 if backbone else None
    direct = backbone is None and is_noisy(damage.bound.operator)
    clean, rate = material.clean, material.sample_rate
    raws, made = [], []
    for raw in result.audio:
        finished = raw if direct else damage.finished(raw, highest)
        order = damage.order(clean, finished, rate)
        raws.append(raw[order])
        made.append(finished[order])
    lost = damage.bound.spans(clean.shape[-1])
    kept = medoid(made, rate, lost)
    sounds |= _heard("estimate", made[kept], damage.sources)
    scored = [_measured(task, material, damage, audio) for audio in made]
    if len(made) > 1:
        several = summary([each["scores"] for each in scored]) | calibration(clean, made, rate, lost)
        scored[kept]["scores"] |= several
    raw_scores = _measured(task, material, damage, raws[kept])
    return {"raw": raw_scores, "finished": scored[kept], "costs": result.costs.as_dict(), "seconds": result.seconds}


def _edit(task: Task, material: Material, sounds: dict[str, np.ndarray]) -> dict[str, Any]:
    """Edit the clip towards its target, and measure the result."""
    assert task.solver is not None
    if material.target is None:
        raise DiffmusicError("the dataset does not say what this clip is to become")
    result = edit(
        material.clean,
        material.sample_rate,
        task.solver.component("solver"),
        _backbone(task),
        task.settings.editing(material.target, material.prompt or "", seed=task.seed),
    )
    sounds["estimate"] = result.audio[0]
    scores = _measured(task, material, None, result.audio[0])
    return {"finished": scores, "costs": result.costs.as_dict(), "seconds": result.seconds}


_DO: Mapping[Kind, Callable[[Task, Material, dict[str, np.ndarray]], dict[str, Any]]] = {
    "truth": _truth,
    "measurement": _measurement,
    "round trip": _round_trip,
    "solve": _solve,
    "edit": _edit,
}


def _measured(task: Task, material: Material, damage: Damage | None, estimate: np.ndarray) -> dict[str, Any]:
    """Score an estimate; for a problem also its misfit to the measurement, and the LSD of the damaged part."""
    rate = material.sample_rate
    if damage is None:
        return score(task.metrics, material.clean, estimate, rate, material.target, offline=task.offline)
    made = score(task.metrics, material.clean, estimate, rate, material.prompt, damage, task.offline)
    own = {"misfit": damage.misfit(estimate), "part": damaged_lsd(damage.bound, material.clean, estimate, rate)}
    made["scores"] |= {name: value for name, value in own.items() if value is not None}
    return made


def _flac(audio: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.clip(audio.T, -1, 1), rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()
