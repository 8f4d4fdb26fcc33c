"""The functions of ``import diffmusic``: a component is an instance, or text as on the command line.

Text is a name with parameters, ``"inpainting gap=4:5"``, ``"diffmusic rate=0.8"``. A model is a backbone, a name, a
folder or an id on the hub.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from diffmusic.editor.contract import AnyEditor, AudioEditor
from diffmusic.errors import InputError, suggestion
from diffmusic.parameters import checked, values
from diffmusic.prior.backbone import Backbone
from diffmusic.prior.progress import ProgressCallback
from diffmusic.problem.operator import Operator
from diffmusic.solver.contract import AnySolver
from diffmusic.tasks import edit as editing
from diffmusic.tasks import explore as exploring
from diffmusic.tasks import fuse as fusing
from diffmusic.tasks import restore as restoring
from diffmusic.tasks.edit_result import Edited
from diffmusic.tasks.loading import (
    Model,
    channels,
    default_solver,
    load_any_editor,
    load_editor,
    load_model,
    load_operator,
    load_restorer,
)
from diffmusic.tasks.result import Result
from diffmusic.tasks.settings import EditSettings, ExploreSettings, FuseSettings, LearnSettings, RestoreSettings
from diffmusic.tasks.snapshot import StepCallback


def restore(
    audio: np.ndarray,
    sample_rate: int,
    operator: str | Operator,
    *,
    solver: str | AnySolver | None = None,
    model: Model = "mini",
    progress: ProgressCallback | None = None,
    on_step: StepCallback | None = None,
    **settings: Any,
) -> restoring.Restoration:
    """Restore a damaged recording.

    Args:
        audio: The measurement: audio, (channels, time) or (time,), full scale 1, or magnitudes, (channels, frames,
            bins).
        sample_rate: Of the measurement, Hz.
        operator: The damage, such as ``"inpainting gap=4:5"``.
        solver: The method, such as ``"diffmusic rate=0.8"`` or ``"interpolate"``; by default the operator's own.
        model: The prior; loaded where the solver asks for one.
        progress: Called with the share of the work that is done, 0 to 1.
        on_step: Called with a ``Snapshot`` after every step; it may ask for the clean estimate so far.
        **settings: Fields of ``RestoreSettings``: steps, seed, samples, prompt, ...

    Returns:
        The restored recordings, (samples, channels, time), with rate, costs, and record.

    Raises:
        InputError: Something does not exist or does not fit together.
        Diverged: The iteration left the finite numbers.
    """
    chosen, damage = _settings(RestoreSettings, settings), load_operator(operator)
    solver = solver or default_solver(damage)
    method = load_restorer(solver)
    loaded: list[Backbone] = []

    def load() -> Backbone:
        loaded.append(load_model(model))
        return loaded[0]

    result = restoring.restore(
        channels(audio), sample_rate, damage, method, load, chosen, progress=progress, on_step=on_step
    )
    prior = loaded[0] if loaded else None
    return _recorded(result, "restore", prior, chosen, operator=(operator, damage), solver=(solver, method))


def edit(
    audio: np.ndarray,
    sample_rate: int,
    targets: str | Sequence[str],
    *,
    solver: str | AnyEditor = "ddpm-inversion",
    model: Model = "mini",
    progress: ProgressCallback | None = None,
    **settings: Any,
) -> Edited:
    """Edit a recording by text.

    Args:
        audio: The recording, (channels, time) or (time,), full scale 1.
        sample_rate: Of the recording, Hz.
        targets: Text of the music to be made; of several, each gives results of its own.
        solver: The editor, such as ``"sdedit"``.
        model: The prior.
        progress: Called with the share of the work that is done, 0 to 1.
        **settings: Fields of ``EditSettings``: source, strength, segments, steps, seed, samples, ...

    Returns:
        The edited recordings, (targets * samples, channels, time), with rate, costs, and record.

    Raises:
        InputError: Something does not exist or does not fit together.
        Diverged: The iteration left the finite numbers.
    """
    chosen, editor = _settings(EditSettings, {**settings, "targets": targets}), load_any_editor(solver)
    prior = None if isinstance(editor, AudioEditor) else load_model(model)
    result = editing.edit(channels(audio), sample_rate, editor, prior, chosen, progress=progress)
    return _recorded(result, "edit", prior, chosen, solver=(solver, editor))


def explore(
    audio: np.ndarray,
    sample_rate: int,
    *,
    model: Model = "mini",
    render: bool = True,
    progress: ProgressCallback | None = None,
    **settings: Any,
) -> exploring.Exploration:
    """Find the directions in which a recording could have been otherwise, and follow each both ways.

    Args:
        audio: The recording, (channels, time) or (time,), full scale 1.
        sample_rate: Of the recording, Hz.
        model: The prior.
        render: Follow the directions; otherwise there is no audio.
        progress: Called with the share of the work that is done, 0 to 1.
        **settings: Fields of ``ExploreSettings``: components, amount, source, steps, ...

    Returns:
        The directions, and the recording along each, (2 * components, channels, time).

    Raises:
        InputError: Something does not exist or does not fit together.
        Diverged: The iteration left the finite numbers.
    """
    chosen, prior = _settings(ExploreSettings, settings), load_model(model)
    result = exploring.explore(channels(audio), sample_rate, prior, chosen, render=render, progress=progress)
    return _recorded(result, "explore", prior, chosen)


def fuse(
    original: np.ndarray,
    sample_rate: int,
    reference: np.ndarray | None,
    reference_rate: int | None = None,
    *,
    prompt: str,
    level: float | Sequence[float] = fusing.LEVEL,
    solver: str = "fusion",
    model: Model = "mini",
    learn: LearnSettings | Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
    **settings: Any,
) -> fusing.Fused:
    """Fuse a recording with a reference: learn the reference, walk by its prompt, put the original in.

    Args:
        original: The recording to fuse, (channels, time) or (time,), full scale 1.
        sample_rate: Of the original and of the result, Hz.
        reference: The recording to learn; None leads by the prompt alone.
        reference_rate: Of the reference, Hz; by default that of the original.
        prompt: Text of the reference.
        level: Noise level at which the original is put in; of several, each gives a result.
        solver: The editor that fuses, without its level.
        model: The prior.
        learn: Settings of learning the reference.
        progress: Called with the share of the work that is done, 0 to 1.
        **settings: Fields of ``FuseSettings``: steps, guidance, seed, ...

    Returns:
        The fusions, (levels, channels, time), with rate, costs, and record.

    Raises:
        InputError: Something does not exist or does not fit together, or peft is not installed.
        Diverged: The iteration left the finite numbers.
    """
    chosen, prior = _settings(FuseSettings, {**settings, "prompt": prompt}), load_model(model)
    levels = tuple(map(float, level)) if isinstance(level, Sequence) else (float(level),)
    editors = [load_editor(solver, {"level": each}) for each in levels]
    adapter = None
    if reference is not None:
        how = (
            learn
            if isinstance(learn, LearnSettings)
            else _settings(LearnSettings, {"seed": chosen.seed, **(learn or {})})
        )
        rate = reference_rate or sample_rate
        adapter = fusing.learn(channels(reference), rate, prior, prompt, how)
    result = fusing.fuse(
        channels(original), sample_rate, editors, prior, chosen, adapter=adapter, levels=levels, progress=progress
    )
    return _recorded(result, "fuse", prior, chosen, solver=(solver, editors[0]))


S = TypeVar("S")
R = TypeVar("R", bound=Result)


def _settings(kind: type[S], given: Mapping[str, Any]) -> S:
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in names:
            raise InputError(f"there is no setting {name!r}.{suggestion(name, names)}")
    return checked(kind(**given))


def _recorded(result: R, task: str, prior: Backbone | None, settings: Any, **components: tuple[Any, Any]) -> R:
    """The result with its record."""
    record: dict[str, Any] = {"task": task, "settings": dataclasses.asdict(settings)}
    for kind, (named, component) in components.items():
        name = (
            named.split()[0] if isinstance(named, str) else f"{type(component).__module__}:{type(component).__name__}"
        )
        record |= {kind: name}
        if dataclasses.is_dataclass(component):
            record |= {f"{kind}_parameters": values(component)}
    record |= {"model": prior.describe() if prior else None, "costs": result.costs.as_dict()}
    return dataclasses.replace(result, record=record)
