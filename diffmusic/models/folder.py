"""Reading model folders in the diffusers layout: model_index.json and one sub-folder a module."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import nn

from diffmusic.errors import InputError
from diffmusic.models import parts
from diffmusic.models.load import read_index

SAFE, PICKLED = "*.safetensors", "*.bin"


def complete_index(folder: Path, needed: Iterable[str]) -> dict[str, Any]:
    """Return the folder's model_index.json. Raises InputError if it, or one of its parts, is not there."""
    index = read_index(folder)
    for part in needed:
        if not (folder / part).is_dir() or not index.get(part):
            raise InputError(f"{folder} is incomplete: {part}/ is missing")
        pair = index[part]
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(each, str) for each in pair):
            raise InputError(f"{folder}/model_index.json: {part} is a pair of library and class, not {pair!r}")
    return index


def opened(source: Path | None, parts: Iterable[str]) -> tuple[Path, dict[str, Any]]:
    """Return a model's folder and model_index.json. Raises InputError if either is incomplete or damaged."""
    if source is None:
        raise InputError("this backbone needs its weights: give `model` as the folder that holds model_index.json")
    folder = Path(source)
    index = complete_index(folder, parts)
    verify(folder)
    return folder, index


def load_module(
    kind: Any,
    folder: Path,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    partial: bool = False,
    allow_pickle: bool = False,
) -> Any:
    """Load a module of diffusers or transformers, frozen and in evaluation mode.

    partial: the file may hold more than the module. allow_pickle: read pickled weights where there are no safetensors.
    Raises InputError for weights that are absent, do not fit, or are missing some: the libraries would go on with
    random numbers.
    """
    if not folder.is_dir():
        raise InputError(f"{folder.parent} is incomplete: {folder.name}/ is missing")
    names = [path.name for path in folder.iterdir()]
    chosen = parts.weights(names, allow_pickle)
    if chosen is None:
        raise InputError(f"{folder} {parts.unreadable(name for name in names if name.endswith(parts.WEIGHTS))}")
    try:
        with quiet():
            module, report = kind.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=chosen.safe,
                variant=chosen.variant,
                output_loading_info=True,
            )
    except Exception as error:  # a damaged file shows as any error of any library beneath
        raise InputError(f"{folder} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    wrong = [*report["missing_keys"], *report["mismatched_keys"], *([] if partial else report["unexpected_keys"])]
    if wrong:
        raise InputError(f"{folder} does not fit its configuration: {len(wrong)} weights, such as {sorted(wrong)[0]}")
    assert isinstance(module, nn.Module)
    with quiet():
        return module.requires_grad_(False).eval().to(device=device, dtype=dtype)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep progress bars and notices of the model libraries away from the user's terminal."""
    logs = (diffusers.utils.logging, transformers.utils.logging)
    levels = [log.get_verbosity() for log in logs]
    bars = transformers.utils.logging.is_progress_bar_enabled()
    for log in logs:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.set_verbosity(level)
            if bars:
                log.enable_progress_bar()


def verify(folder: Path) -> None:
    """Hold every file named in the folder's hashes.json, where it has one, against its sha256.

    Raises InputError for a file that is missing or is not the one that was released.
    """
    path = folder / "hashes.json"
    if not path.exists():
        return
    try:
        hashes = json.loads(path.read_text(encoding="utf-8-sig"))
        ours = all(re.fullmatch("[0-9a-f]{64}", value) for value in hashes.values())
    except (OSError, ValueError, TypeError, AttributeError):
        ours = False
    if not ours:
        warnings.warn(f"{path} holds no sha256 of files: they are not verified", stacklevel=2)
        return
    for name, expected in hashes.items():
        if not (folder / name).is_file():
            raise InputError(f"{folder} is incomplete: {name} is missing")
        if _digest(folder / name) != expected:
            raise InputError(f"{folder / name} is damaged: its sha256 is not that of hashes.json; install it again")


def weights_hash(folder: Path, parts: str = "*/") -> str:
    """sha256 over the names and sha256 of every weights file of a model. parts: where they are; "" for one module."""
    digest = sha256()
    for path in sorted(path for pattern in (SAFE, PICKLED) for path in folder.glob(parts + pattern)):
        digest.update(path.relative_to(folder).as_posix().encode() + b" " + _file_hash(path).encode() + b"\n")
    return digest.hexdigest()


def _file_hash(path: Path) -> str:
    # In the hub's cache a large file is a link to a blob that is named by its sha256: gigabytes need not be read.
    blob = path.resolve()
    if path.is_symlink() and blob.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", blob.name):
        return blob.name
    return _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
