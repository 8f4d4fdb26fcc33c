"""From what a user writes after ``--model`` to a loaded backbone."""

from __future__ import annotations

import inspect
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffmusic.errors import InputError, reason
from diffmusic.models import hub, parts
from diffmusic.plugins import OURS, Registry, registry
from diffmusic.prior.backbone import Backbone, LatentModel


def load_model(
    model: str, device: str = "cpu", dtype: str = "auto", offline: bool = False, allow_pickle: bool = False
) -> Backbone:
    """Load a backbone of audio; see `load_latent_model`. Raises InputError for a model of another kind of signal."""
    return of_audio(load_latent_model(model, device, dtype, offline, allow_pickle), model)


def of_audio(found: LatentModel, model: str) -> Backbone:
    """Return a model that is one of audio. Raises InputError for another; ``model``: what the user called it."""
    if not isinstance(found, Backbone):
        raise InputError(f"model {model!r} is no prior of audio")
    return found


def load_latent_model(
    model: str, device: str = "cpu", dtype: str = "auto", offline: bool = False, allow_pickle: bool = False
) -> LatentModel:
    """Load a model by its name, from a folder in the diffusers layout, or from the hub by its address.

    A folder goes to the backbone whose tags name the ``_class_name`` of its ``model_index.json``. The name of a
    backbone that lists published checkpoints stands for the first of them. What is not in the cache is downloaded,
    unless ``offline``. An address is an id, ``owner/name``, which may name a folder, ``owner/name/folder``, and a
    branch, tag or commit, ``owner/name@revision``, or a page of the hub. device: see `resolve_device`. dtype: of the
    network. allow_pickle: read pickled weights where there are no others.
    Raises InputError for what is none of these, and for a checkpoint that is missing, partial or not readable.
    """
    known, given, place = registry(), Path(model), resolve_device(device)
    if model in known.components("backbone") or not (given.exists() or hub.is_repository(model) or _like_a_path(model)):
        spec = known.find("backbone", model)
        folder = hub.locate(spec.checkpoints[0].repository, offline, allow_pickle) if spec.checkpoints else None
        target = spec.load()
    else:
        folder = _folder(model, offline, allow_pickle)
        target = known.load("backbone", _reader(folder, known))
    return target(folder, place, **_options(target, model, dtype, allow_pickle))


def _folder(model: str, offline: bool, allow_pickle: bool) -> Path:
    given = Path(model)
    if given.is_dir():
        return given
    if given.is_file():
        raise InputError(f"model {model!r} is a file: {parts.original([given.name])}")
    if not hub.is_repository(model):
        raise InputError(f"model {model!r} is no folder; give one, the name of a backbone, or an id such as owner/name")
    return hub.locate(model, offline, allow_pickle)


@dataclass(frozen=True)
class Access:
    """Permissions for loading a model. They are no part of a job: a run record from a stranger must not open pickles.

    offline: download nothing. allow_pickle: read pickled weights where there are no others.
    recorded: the hash of the weights that a run is to be repeated with, "" for any; exact: refuse others, instead of
    saying that they are others.
    """

    offline: bool = False
    allow_pickle: bool = False
    recorded: str = ""
    exact: bool = False

    def load(self, model: str, device_name: str, dtype: str) -> Backbone:
        """Load a backbone of audio by what a job says of it; see `load_model` and `load_any`."""
        return of_audio(self.load_any(model, device_name, dtype), model)

    def load_any(self, model: str, device_name: str, dtype: str) -> LatentModel:
        """Load a model by what a job says of it; see `load_latent_model`.

        Raises InputError as that does, and under ``exact`` for weights that are not those of the record.
        """
        backbone = load_latent_model(model, device_name, dtype, self.offline, self.allow_pickle)
        found = backbone.describe().get("sha256", "") if self.recorded else ""
        if found != self.recorded:
            message = f"model {model!r} is not the one of the run record: its weights are {found[:12] or 'not known'}, "
            message += f"those of the record {self.recorded[:12]}"
            if self.exact:
                raise InputError(message)
            warnings.warn(message, stacklevel=2)
        return backbone


SAFE = Access()
"""Default permissions: download what is missing, read no pickle."""


def _like_a_path(model: str) -> bool:
    return "/" in model or "\\" in model


def _options(target: Any, model: str, dtype: str, allow_pickle: bool) -> dict[str, Any]:
    """Collect the options that differ from the defaults. Raises InputError if the backbone does not take them."""
    chosen: dict[str, Any] = {} if dtype == "auto" else {"dtype": dtype}
    taken = inspect.signature(target).parameters
    if "dtype" in chosen and "dtype" not in taken:
        raise InputError(f"model {model!r} computes in one precision: leave `dtype` out")
    return chosen | ({"allow_pickle": True} if allow_pickle and "allow_pickle" in taken else {})


def read_index(folder: Path) -> dict[str, Any]:
    """Read the model_index.json of a folder in the diffusers layout. Raises InputError if it cannot be read."""
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        names = [folder.name, *(path.name for path in folder.iterdir())]
        raise InputError(f"{folder} holds no model_index.json: {parts.original(names)}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}/model_index.json cannot be read: {reason(error)}") from None
    if not isinstance(index, dict):
        raise InputError(f"{folder}/model_index.json cannot be read: it does not hold a table")
    return index


def _reader(folder: Path, known: Registry) -> str:
    kind = read_index(folder).get("_class_name")
    readers = known.readers(kind)
    if not readers:
        raise InputError(f"{folder} is a {kind}, which no installed backbone reads")
    if len(readers) > 1 and known.owners("backbone")[readers[0]] != OURS:
        raise InputError(f"{folder} is a {kind}, which {' and '.join(readers)} read: leave one of them installed")
    if len(readers) > 1:
        warnings.warn(f"{kind} is read by {readers[0]}; {', '.join(readers[1:])} would read it too", stacklevel=2)
    return readers[0]


def resolve_device(name: str) -> str:
    """``auto`` becomes cuda, mps or cpu, the first that is there; anything else is checked."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(each for each, available in there.items() if available)
    if not there.get(name.split(":")[0], False):
        usable = ", ".join(each for each, available in there.items() if available)
        raise InputError(f"device {name!r} is not available here; {usable} can be used")
    try:
        torch.empty(0, device=name)
    except RuntimeError as error:  # such as cuda:7 where there is one
        raise InputError(f"device {name!r} cannot be used: {' '.join(str(error).split())[:200]}") from None
    return name
