"""Loading components, and reading and writing audio, for ``import diffmusic``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffmusic.audio import files
from diffmusic.editor.contract import AnyEditor, AudioEditor, Editor
from diffmusic.errors import InputError
from diffmusic.models.components import load_component
from diffmusic.models.load import load_model as load_backbone
from diffmusic.models.load import resolve_device
from diffmusic.plugins import registry
from diffmusic.prior.backbone import Backbone
from diffmusic.problem.operator import Operator, has_place, regions
from diffmusic.solver.contract import LATENT_SOLVER, PRIOR_SOLVER, AnySolver

Model = str | Path | Backbone


def load_operator(operator: str | Operator, **parameters: Any) -> Operator:
    """Load an operator by its name, such as ``load_operator("inpainting", gap=[(4, 5)])``.

    Args:
        operator: A name, with parameters as on the command line if need be (``"inpainting gap=4:5"``). An instance is
            returned as it is.
        **parameters: Parameters, as values or as text.

    Returns:
        The operator.

    Raises:
        InputError: There is no such operator or parameter, or a value is not one.
    """
    return load_component("operator", operator, parameters) if isinstance(operator, str) else operator


def load_solver(solver: Any, **parameters: Any) -> AnySolver | Editor:
    """Load a solver or an editor by its name, such as ``load_solver("diffmusic rate=0.8")``.

    Args:
        solver: A name, with parameters as on the command line if need be. An instance is returned as it is.
        **parameters: Parameters, as values or as text.

    Returns:
        The solver.

    Raises:
        InputError: There is no such solver or parameter, or a value is not one.
    """
    return load_component("solver", solver, parameters) if isinstance(solver, str) else solver  # type: ignore[no-any-return]


def load_model(
    model: Model = "mini",
    *,
    device: str = "auto",
    dtype: str = "auto",
    offline: bool = False,
    allow_pickle: bool = False,
) -> Backbone:
    """Load a prior.

    Args:
        model: A name (``diffmusic models``), a folder in the diffusers layout, or an id on the hub; what is not here
            is downloaded. A backbone is returned as it is.
        device: auto, cpu, cuda or mps.
        dtype: Of the network: auto (float32), bfloat16 or float16.
        offline: Download nothing.
        allow_pickle: Read pickled weights where there are no others; a pickle can run any program.

    Returns:
        The backbone.

    Raises:
        InputError: There is no such model, or it cannot be read.
    """
    if isinstance(model, Backbone):
        return model
    return load_backbone(str(model), resolve_device(device), dtype, offline, allow_pickle)


def read(path: str | Path) -> tuple[np.ndarray, int]:
    """Read a recording.

    Args:
        path: A WAV, FLAC, OGG, MP3 or AIFF file.

    Returns:
        Audio, (channels, time), float64, full scale 1, and its rate in Hz.

    Raises:
        InputError: The file is not there, or holds no audio that can be read.
    """
    recording = files.read(Path(path))
    return recording.samples, recording.sample_rate


def write(path: str | Path, audio: np.ndarray, sample_rate: int, like: str | Path | None = None) -> None:
    """Write audio in the format of the extension.

    Args:
        path: The file, which is replaced if it is there.
        audio: (channels, time) or (time,), full scale 1; formats of integers clip what exceeds it.
        sample_rate: Hz.
        like: A file whose encoding and tags are kept where the extension lets them.

    Raises:
        InputError: The extension is none that can be written, or the disk refuses.
    """
    target = Path(path)
    model = files.read(Path(like)) if like else files.Recording(np.zeros((1, 1)), sample_rate)
    kind, subtype = files.output_format(target, model)
    recording = dataclasses.replace(
        model, samples=np.atleast_2d(audio), sample_rate=sample_rate, format=kind, subtype=subtype
    )
    try:
        target.write_bytes(files.encode(recording))
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror or error}") from None


def load_any_editor(solver: str | AnyEditor, parameters: Mapping[str, Any] | None = None) -> AnyEditor:
    """Load a solver that edits. Raises InputError for one that restores."""
    editor = load_solver(solver, **(parameters or {}))
    if not isinstance(editor, Editor | AudioEditor):
        known = [each for each, spec in registry().components("solver").items() if spec.role == "editor"]
        raise InputError(f"solver {solver!r} restores recordings and edits none. Those that do: {', '.join(known)}")
    return editor


def load_editor(solver: str | Editor, parameters: Mapping[str, Any] | None = None) -> Editor:
    """Load a solver that edits latents of a prior. Raises InputError for any other."""
    editor = load_any_editor(solver, parameters)
    if not isinstance(editor, Editor):
        raise InputError(f"solver {solver!r} has a model of its own, and works in no prior's latents")
    return editor


def default_solver(operator: Operator | type[Operator]) -> str:
    """The name of the solver of an operator, or of its class, where none is named: its own ``solver``; where it names
    none a solver with a prior, in the latents if its damage has a place. Rectangles are solved in the latents always.
    """
    if not isinstance(operator, type) and regions(operator, 1 << 60):
        return LATENT_SOLVER
    return str(getattr(operator, "solver", LATENT_SOLVER if has_place(operator) else PRIOR_SOLVER))  # type: ignore[arg-type]


def advice(operator: Operator, solver: str) -> str:
    """What to do where a solver failed on an operator."""
    best = LATENT_SOLVER if has_place(operator) else PRIOR_SOLVER
    return f"solver {best} holds for every prior" if solver != best else "more steps or another prior may do better"


def load_restorer(solver: str | AnySolver, parameters: Mapping[str, Any] | None = None) -> AnySolver:
    """Load a solver that restores. Raises InputError for one that edits."""
    restorer = load_solver(solver, **(parameters or {}))
    if not isinstance(restorer, AnySolver):
        raise InputError(f"solver {solver!r} edits recordings and restores none: it is one for diffmusic edit")
    return restorer


def channels(audio: np.ndarray) -> np.ndarray:
    """Audio of shape (channels, time); one channel may lack its axis."""
    audio = np.asarray(audio)
    return audio[None] if audio.ndim == 1 else audio
