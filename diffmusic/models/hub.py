"""Models of the Hugging Face hub: found in the cache, or downloaded into it, part by part and nothing more."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffmusic.errors import InputError, reason
from diffmusic.models.address import Address, address
from diffmusic.models.parts import ALONE, INDEX, choose, lacking, original


def is_repository(model: str) -> bool:
    """Return whether a text reads like a model on the hub."""
    return Address.parse(model) is not None


def origin(folder: Path) -> dict[str, str] | None:
    """Return id and commit of a model in the cache by its folder, None for a folder elsewhere."""
    for each in (folder, *folder.parents):
        if each.parent.name == "snapshots" and (kept := each.parent.parent.name).startswith("models--"):
            return {"repository": kept.removeprefix("models--").replace("--", "/"), "revision": each.name}
    return None


def cached(model: str, alone: bool = False, allow_pickle: bool = False) -> Path | None:
    """Return the folder of a model in the cache if every part is there, else None.

    Args:
        model: Its address, see ``Address.parse``.
        alone: It may be one module, without an index.
        allow_pickle: Pickled weights count where there are no safetensors.
    """
    wanted = address(model)
    snapshot = _snapshot(wanted)
    try:
        folder = snapshot / wanted.folder if snapshot else None
        return None if folder is None or lacking(folder, _index(folder, alone), allow_pickle) else folder
    except (OSError, ValueError):
        return None


def _snapshot(wanted: Address) -> Path | None:
    """Find the folder of a revision in the cache: by name, by commit, or the newest that was cached by a commit."""
    # Read where the library keeps it: importing what would ask the library takes longer than any listing may.
    from huggingface_hub.constants import HF_HUB_CACHE

    kept = Path(HF_HUB_CACHE) / f"models--{wanted.repository.replace('/', '--')}"
    named = kept / "refs" / (wanted.revision or "main")
    if named.is_file():
        return kept / "snapshots" / named.read_text().strip()
    commits = sorted((kept / "snapshots").glob("*"), key=lambda each: each.stat().st_mtime)
    if wanted.revision is not None:
        commits = [each for each in commits if len(wanted.revision) >= 7 and each.name.startswith(wanted.revision)]
    return commits[-1] if commits else None


def _index(folder: Path, alone: bool) -> dict[str, Any]:
    if alone and not (folder / INDEX).exists() and (folder / "config.json").exists():
        return ALONE
    index = json.loads((folder / INDEX).read_text(encoding="utf-8-sig"))
    if not isinstance(index, dict):
        raise ValueError(f"{INDEX} holds no table")
    return index


def offline_mode() -> bool:
    """Return whether HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def locate(model: str, offline: bool = False, allow_pickle: bool = False, alone: bool = False) -> Path:
    """Return the folder of a model: from the cache if all of it is there, else downloaded.

    Args:
        model: Its address, see ``Address.parse``.
        offline: Download nothing.
        allow_pickle: Take pickled weights where there are no safetensors.
        alone: What is wanted is one module of transformers, which may be all that the repository is.

    Raises:
        InputError: In one line that says what to do, if that is not possible.
    """
    folder = cached(model, alone, allow_pickle)
    if folder is not None:
        return folder
    if offline or offline_mode():
        why = "--offline" if offline else "HF_HUB_OFFLINE"
        first = "the same command" if alone else f"diffmusic models pull {address(model)}"
        raise InputError(
            f"{address(model)} is not in the cache, or only a part of it is{_missing(model, alone, allow_pickle)}, and "
            f"{why} forbids to download it: run {first} without it first, or give a folder"
        )
    return pull(model, allow_pickle, alone)


def _missing(model: str, alone: bool, allow_pickle: bool) -> str:
    """Name the first thing that a cached model lacks, in brackets."""
    snapshot = _snapshot(address(model))
    try:
        folder = snapshot / address(model).folder if snapshot else None
        found = lacking(folder, _index(folder, alone), allow_pickle) if folder else []
    except (OSError, ValueError):
        found = []
    return f" ({found[0]})" if found else ""


def sizes(model: str, alone: bool = False) -> tuple[dict[str, int], dict[str, Any]]:
    """Return every file of a model on the hub with its size, and its model_index.json. alone: see ``locate``."""
    from huggingface_hub import HfApi, hf_hub_download

    wanted = address(model)
    inside = f"{wanted.folder}/" if wanted.folder else ""

    def ask() -> tuple[dict[str, int], dict[str, Any]]:
        info = HfApi().model_info(wanted.repository, revision=wanted.revision, files_metadata=True)
        every = {each.rfilename: each.size or 0 for each in info.siblings or ()}
        found = {name.removeprefix(inside): size for name, size in every.items() if name.startswith(inside)}
        if alone and INDEX not in found and "config.json" in found:
            return found, ALONE
        if INDEX not in found:
            raise InputError(f"{wanted} holds no {INDEX}: {original(found)}")
        path = Path(hf_hub_download(wanted.repository, inside + INDEX, revision=wanted.revision))
        return found, _index(path.parent, alone=False)

    return _asked(wanted, ask)


def pull(model: str, allow_pickle: bool = False, alone: bool = False) -> Path:
    """Download what is needed of a model, or what is missing of it, into the cache. Returns its folder there.

    What is there already is read through and compared with the hub, and downloaded again if it is damaged.
    alone: see ``locate``.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    if offline_mode():
        raise InputError("HF_HUB_OFFLINE is set: unset it to download")
    wanted = address(model)
    found, index = sizes(model, alone)
    try:
        chosen = choose(found, index, allow_pickle)
    except InputError as error:
        raise InputError(f"{wanted}: {error}") from None
    cache, snapshot = Path(constants.HF_HUB_CACHE), _snapshot(wanted)
    here = {name: snapshot / wanted.folder / name for name in chosen} if snapshot else {}
    needed = sum(size for name, size in chosen.items() if name not in here or not _intact(here[name], size))
    free = shutil.disk_usage(next(each for each in (cache, *cache.parents) if each.exists())).free
    if needed > free:
        raise InputError(
            f"{wanted} needs {needed / 1e9:.1f} GB more in {cache}, where {free / 1e9:.1f} GB are free: make room, "
            "or set HF_HOME to another disk"
        )
    if needed:
        warnings.warn(f"downloading {wanted}: {needed / 1e9:.1f} GB to {cache}", stacklevel=2)
    if not sys.stderr.isatty():
        disable_progress_bars()
    names = [f"{wanted.folder}/{name}" if wanted.folder else name for name in sorted(chosen)]
    download = lambda: Path(snapshot_download(wanted.repository, revision=wanted.revision, allow_patterns=names))  # noqa: E731
    folder = _asked(wanted, download) / wanted.folder
    absent = lacking(folder, index, allow_pickle)
    if absent:
        raise InputError(f"{wanted} is incomplete on the hub: {absent[0]}")
    return folder


def _intact(path: Path, size: int) -> bool:
    """Whether a cached file is the one of that size that its blob is named for. A damaged one is removed, so that the
    library does not take it for what it is not."""
    if not path.exists():
        return False
    blob = path.resolve()
    known = {40: lambda: hashlib.sha1(b"blob %d\0" % size), 64: hashlib.sha256}.get(len(blob.name))
    right = path.stat().st_size == size
    if right and known and blob.parent.name == "blobs":
        digest = known()
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        right = digest.hexdigest() == blob.name
    if not right:
        path.unlink()
        blob.unlink(missing_ok=True)
    return right


def _asked(wanted: Address, ask: Callable[[], Any]) -> Any:
    """Ask the hub. Its refusals become InputErrors that say what to do."""
    from huggingface_hub import errors

    try:
        return ask()
    except InputError:
        raise
    except errors.GatedRepoError:
        raise InputError(
            f"{wanted} is gated: accept its licence at https://huggingface.co/{wanted.repository}, then log in by hf "
            "auth login or set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError(f"{wanted.repository} has no branch, tag or commit {wanted.revision!r}") from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"there is no folder {str(wanted)!r}, and the hub has no model of that id, or a private one: check the "
            "name, or log in by hf auth login"
        ) from None
    except errors.RemoteEntryNotFoundError as error:
        raise InputError(f"{wanted} is incomplete on the hub: {reason(error)[:200]}") from None
    except Exception as error:  # httpx, requests, urllib3 and the disk all have errors of their own
        full = isinstance(error, OSError) and error.errno == 28
        what = "the disk is full" if full else "the hub cannot be reached"
        raise InputError(
            f"{wanted} is neither a folder nor in the cache, and cannot be downloaded, {what}: "
            f"{reason(error)[:200]}; try again (what is there is kept), or give a folder"
        ) from None
