"""Models of the Hugging Face hub: found in the cache, or downloaded into it, part by part and nothing more."""

from __future__ import annotations

import json
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from diffmusic.errors import InputError, reason

INDEX = "model_index.json"
ALONE = {".": ["transformers", "a module"]}
"""The index of a repository that is one module of transformers: its files lie at the top."""
WEIGHTS = (".safetensors", ".bin", ".msgpack", ".h5", ".onnx", ".ckpt", ".pt", ".pth")
SMALL = (".json", ".txt", ".model")
"""What a part holds beside its weights: settings and vocabularies."""


def is_repository(model: str) -> bool:
    """Whether it reads like the id of a model on the hub, ``owner/name``."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", model) is not None


def parts(index: Mapping[str, Any]) -> list[str]:
    """The sub-folders that a model_index.json names."""
    return [name for name, value in index.items() if isinstance(value, list) and len(value) == 2 and value[0]]


def choose(sizes: Mapping[str, int], index: Mapping[str, Any], allow_pickle: bool = False) -> dict[str, int]:
    """The files of a model that are needed, with their sizes: of each part the settings and one set of weights, in
    full precision, safetensors where there are any, and pickled ones only if they are allowed.

    sizes: every file of the repository, in bytes. Raises InputError for a part without files that can be read.
    """
    chosen = {INDEX: sizes[INDEX]} if INDEX in sizes else {}
    for part in parts(index):
        files = {name: size for name, size in sizes.items() if PurePosixPath(name).parent.as_posix() == part}
        chosen |= {name: size for name, size in files.items() if name.endswith(SMALL)}
        weights = {name: size for name, size in files.items() if name.endswith(WEIGHTS) and not _variant(name)}
        safe = {name: size for name, size in weights.items() if name.endswith(".safetensors")}
        pickled = {name: size for name, size in weights.items() if name.endswith(".bin")}
        if weights and not safe and not (allow_pickle and pickled):
            others = ", ".join(sorted(PurePosixPath(name).name for name in weights))
            raise InputError(
                f"{part}/ has no safetensors, only {others}: a pickle can run any program as it is read; give "
                "--allow-pickle if you trust whoever made it"
            )
        chosen |= safe or pickled
        if not files:
            raise InputError(f"{part}/ is named in {INDEX}, but is not there")
    return chosen


def _variant(name: str) -> bool:
    """Whether these are weights of another precision, such as model.fp16.safetensors."""
    return bool(re.search(r"\.(fp16|bf16|fp32|ema|non_ema)[.-]", PurePosixPath(name).name))


def cached(repository: str, alone: bool = False) -> Path | None:
    """The folder of a model in the cache, if every part is there. alone: it may be one module, without an index."""
    # Read where the library keeps it: importing what would ask the library takes longer than any listing may.
    from huggingface_hub.constants import HF_HUB_CACHE

    kept = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    try:
        folder = kept / "snapshots" / (kept / "refs" / "main").read_text().strip()
        single = alone and not (folder / INDEX).exists() and (folder / "config.json").exists()
        index = ALONE if single else json.loads((folder / INDEX).read_text())
    except (OSError, ValueError):
        return None
    return None if _lacking(folder, index) else folder


def _lacking(folder: Path, index: Mapping[str, Any]) -> list[str]:
    """Parts of a model that are not there, or without weights where their settings ask for some."""

    def whole(part: Path) -> bool:
        shards = part.glob("*.safetensors.index.json")
        needed = {name for path in shards for name in json.loads(path.read_text()).get("weight_map", {}).values()}
        module = (part / "config.json").is_file()
        some = any(path.suffix in (".safetensors", ".bin") for path in part.glob("*"))
        return part.is_dir() and (some or not module) and all((part / name).is_file() for name in needed)

    return [part for part in parts(index) if not whole(folder / part)]


def offline_mode() -> bool:
    """Whether HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def locate(repository: str, offline: bool = False, allow_pickle: bool = False, alone: bool = False) -> Path:
    """The folder of a model: from the cache if all of it is there, else downloaded. alone: what is wanted is one module
    of transformers, which may be all that the repository is.

    Raises InputError, in one line that says what to do, if that is not possible.
    """
    folder = cached(repository, alone)
    if folder is not None:
        return folder
    if offline or offline_mode():
        why = "--offline" if offline else "HF_HUB_OFFLINE"
        first = "the same command" if alone else f"diffmusic models pull {repository}"
        raise InputError(
            f"{repository} is not in the cache, or only a part of it is, and {why} forbids to download it: run "
            f"{first} without it first, or give a folder"
        )
    return pull(repository, allow_pickle, alone)


def sizes(repository: str, alone: bool = False) -> tuple[dict[str, int], dict[str, Any]]:
    """Every file of a model on the hub with its size, and its model_index.json. alone: see ``locate``."""
    from huggingface_hub import HfApi, hf_hub_download

    def ask() -> tuple[dict[str, int], dict[str, Any]]:
        info = HfApi().model_info(repository, files_metadata=True)
        found = {each.rfilename: each.size or 0 for each in info.siblings or ()}
        if alone and INDEX not in found and "config.json" in found:
            return found, ALONE
        if INDEX not in found:
            raise InputError(f"{repository} holds no {INDEX}: it is not a model in the diffusers layout")
        return found, json.loads(Path(hf_hub_download(repository, INDEX)).read_text())

    return _asked(repository, ask)


def pull(repository: str, allow_pickle: bool = False, alone: bool = False) -> Path:
    """Download what is needed of a model, or what is missing of it, into the cache. Returns its folder there.
    alone: see ``locate``."""
    from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
    from huggingface_hub.utils import disable_progress_bars

    if offline_mode():
        raise InputError("HF_HUB_OFFLINE is set: unset it to download")
    found, index = sizes(repository, alone)
    try:
        chosen = choose(found, index, allow_pickle)
    except InputError as error:
        raise InputError(f"{repository}: {error}") from None
    cache = Path(constants.HF_HUB_CACHE)
    needed = sum(size for name, size in chosen.items() if not isinstance(try_to_load_from_cache(repository, name), str))
    free = shutil.disk_usage(next(each for each in (cache, *cache.parents) if each.exists())).free
    if needed > free:
        raise InputError(
            f"{repository} needs {needed / 1e9:.1f} GB more in {cache}, where {free / 1e9:.1f} GB are free: make room, "
            "or set HF_HOME to another disk"
        )
    if needed:
        warnings.warn(f"downloading {repository}: {needed / 1e9:.1f} GB to {cache}", stacklevel=2)
    if not sys.stderr.isatty():
        disable_progress_bars()
    names = sorted(chosen)
    return _asked(repository, lambda: Path(snapshot_download(repository, allow_patterns=names)))


def _asked(repository: str, ask: Callable[[], Any]) -> Any:
    """What the hub answers. Its refusals become InputErrors that say what to do."""
    from huggingface_hub import errors

    try:
        return ask()
    except InputError:
        raise
    except errors.GatedRepoError:
        raise InputError(
            f"{repository} is gated: accept its licence at https://huggingface.co/{repository}, then log in by hf auth "
            "login or set HF_TOKEN"
        ) from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"there is no folder {repository!r}, and the hub has no model of that id, or a private one: check the "
            "name, or log in by hf auth login"
        ) from None
    except errors.RemoteEntryNotFoundError as error:
        raise InputError(f"{repository} is incomplete on the hub: {reason(error)[:200]}") from None
    except Exception as error:  # httpx, requests, urllib3 and the disk all have errors of their own
        full = isinstance(error, OSError) and error.errno == 28
        what = "the disk is full" if full else "the hub cannot be reached"
        raise InputError(
            f"{repository} is neither a folder nor in the cache, and cannot be downloaded, {what}: "
            f"{reason(error)[:200]}; try again (what is there is kept), or give a folder"
        ) from None
