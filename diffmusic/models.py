"""From what a user writes after ``--model`` to a loaded backbone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diffmusic.errors import InputError
from diffmusic.plugins import Registry, reason, registry, suggestion
from diffmusic.prior import Backbone


def load(model: str, device: str = "cpu") -> Backbone:
    """A backbone by its name, or from a folder in the diffusers layout.

    A folder goes to the backbone whose tags name the ``_class_name`` of its ``model_index.json``.
    Raises InputError for what is neither, and for a folder that no installed backbone reads.
    """
    known, folder = registry(), Path(model)
    names = known.components("backbone")
    if model not in names and folder.is_dir():
        return known.load("backbone", _reader(folder, known))(folder, device)
    if model not in names and ("/" in model or folder.exists()):
        raise InputError(f"model {model!r} is neither a folder nor the name of a backbone.{suggestion(model, names)}")
    return known.load("backbone", model)(None, device)


def read_index(folder: Path) -> dict[str, Any]:
    """The model_index.json of a folder in the diffusers layout. Raises InputError if there is none to be read."""
    try:
        index = json.loads((folder / "model_index.json").read_text())
    except FileNotFoundError:
        raise InputError(f"{folder} holds no model_index.json: it is not a model in the diffusers layout") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}/model_index.json cannot be read: {reason(error)}") from None
    if not isinstance(index, dict):
        raise InputError(f"{folder}/model_index.json cannot be read: it does not hold a table")
    return index


def _reader(folder: Path, known: Registry) -> str:
    kind = read_index(folder).get("_class_name")
    for name, spec in known.components("backbone").items():
        if kind in spec.tags:
            return name
    raise InputError(f"{folder} is a {kind}, which no installed backbone reads")


def device(name: str) -> str:
    """``auto`` becomes cuda, mps or cpu, the first that is there; anything else is checked."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(each for each, available in there.items() if available)
    if not there.get(name.split(":")[0], False):
        usable = ", ".join(each for each, available in there.items() if available)
        raise InputError(f"device {name!r} is not available here; {usable} can be used")
    return name
