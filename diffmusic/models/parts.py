"""Files that a model in the diffusers layout must hold: the settings and one set of weights of each part."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from diffmusic.errors import InputError

INDEX = "model_index.json"
ALONE = {".": ["transformers", "a module"]}
"""Index of a repository that is a single module of transformers, with its files at the top."""
SMALL = (".json", ".txt", ".model")
"""Files of a part other than weights: settings and vocabularies."""
WEIGHTS = (".safetensors", ".bin", ".msgpack", ".h5", ".onnx", ".ckpt", ".pt", ".pth", ".gguf")
VARIANTS = (None, "fp32", "bf16", "fp16")
"""Precisions of weights in order of preference; half precision is converted while reading."""
NAMES = re.compile(
    r"(?P<stem>diffusion_pytorch_model|model|pytorch_model)(\.(?P<variant>\w+))?(-\d{5}-of-(?P<shards>\d{5}))?"
    r"\.(?P<kind>safetensors|bin)"
)
"""File names of weights that diffusers and transformers read."""


@dataclass(frozen=True)
class Weights:
    """One complete set of weights of a part: its ``files``, diffusers' name of its ``variant``, and whether it is
    ``safe`` to read (a pickle is not)."""

    files: tuple[str, ...]
    variant: str | None
    safe: bool


def weights(names: Collection[str], allow_pickle: bool = False) -> Weights | None:
    """Return the weights to read of those that a part holds, None if there are none.

    Full precision comes before half, and pickles come last, if they are allowed.

    Args:
        names: The names of the files of one part.
        allow_pickle: Take pickled weights where there are no safetensors.
    """
    found = [(match, match.string) for match in map(NAMES.fullmatch, names) if match]
    for kind in ("safetensors", "bin")[: 1 + allow_pickle]:
        for variant in VARIANTS:
            same = [(m, name) for m, name in found if m["kind"] == kind and m["variant"] == variant]
            for single in sorted(name for m, name in same if not m["shards"]):
                return Weights((single,), variant, kind == "safetensors")
            for stem, shards in sorted({(m["stem"], m["shards"]) for m, _ in same}):
                files = sorted(name for m, name in same if (m["stem"], m["shards"]) == (stem, shards))
                listing = f"{stem}.{kind}.index{f'.{variant}' if variant else ''}.json"
                if len(files) == int(shards) and listing in names:
                    return Weights((listing, *files), variant, kind == "safetensors")
    return None


def parts(index: Mapping[str, Any]) -> dict[str, str]:
    """Return the sub-folders that a model_index.json names, each with the name of its class."""
    pairs = {name: value for name, value in index.items() if isinstance(value, list) and len(value) == 2}
    return {name: str(kind) for name, (library, kind) in pairs.items() if library}


def choose(sizes: Mapping[str, int], index: Mapping[str, Any], allow_pickle: bool = False) -> dict[str, int]:
    """Return the files of a model that are needed, with their sizes.

    Args:
        sizes: Every file of the model, in bytes.
        index: Its model_index.json.
        allow_pickle: Take pickled weights where there are no safetensors.

    Raises:
        InputError: A part lacks files, or has none that can be read.
    """
    chosen = {INDEX: sizes[INDEX]} if INDEX in sizes else {}
    for part, kind in parts(index).items():
        files = {PurePosixPath(name).name: name for name in sizes if PurePosixPath(name).parent.as_posix() == part}
        if not files and not _optional(kind):
            raise InputError(f"{part}/ is named in {INDEX}, but is not there")
        others = sorted(name for name in files if name.endswith(WEIGHTS))
        best = weights(files, allow_pickle)
        if best is None and (others or _is_module(kind)):
            raise InputError(f"{part}/ {unreadable(others)}")
        names = [name for name in files if name.endswith(SMALL) and ".index." not in name]
        chosen |= {files[name]: sizes[files[name]] for name in (*names, *(best.files if best else ()))}
    return chosen


def unreadable(names: Iterable[str]) -> str:
    """Return why none of the weights in a part can be read, as the end of a sentence."""
    names = sorted(names)
    if weights(names, allow_pickle=True):
        return (
            f"has no safetensors, only {', '.join(names)}: a pickle can run any program as it is read; give "
            "--allow-pickle if you trust whoever made it"
        )
    return "has no complete set of weights" + (f", only {', '.join(names)}" if names else "")


def lacking(folder: Path, index: Mapping[str, Any], allow_pickle: bool = False) -> list[str]:
    """Return what a model folder lacks of its parts: files, weights, or the end of a file that was cut off.

    Args:
        folder: The folder of the model.
        index: Its model_index.json.
        allow_pickle: Count pickled weights where there are no safetensors.
    """
    return [problem for part, kind in parts(index).items() for problem in _lacks(folder / part, kind, allow_pickle)]


def _lacks(part: Path, kind: str, allow_pickle: bool) -> list[str]:
    if _optional(kind):
        return []
    names = {path.name for path in part.glob("*") if path.is_file()}
    if kind.endswith("Scheduler"):
        needed = ["scheduler_config.json"]
    elif "Tokenizer" in kind:
        known = names & {"tokenizer.json", "vocab.txt"} or any(name.endswith(".model") for name in names)
        needed = ["tokenizer_config.json", *([] if known else ["vocab.json", "merges.txt"])]
    else:
        needed = ["config.json"]
    problems = [f"{part.name}/{name} is missing" for name in needed if name not in names]
    problems += [f"{part.name}/{name} is damaged" for name in needed if name in names and not _is_json(part / name)]
    if _is_module(kind):
        best = weights(names, allow_pickle)
        if best is None:
            problems.append(f"{part.name}/ {unreadable(name for name in names if name.endswith(WEIGHTS))}")
        else:
            problems += [f"{part.name}/{name} is cut off" for name in best.files if not _whole(part / name)]
    return problems


def _optional(kind: str) -> bool:
    """Whether nothing here reads such a part."""
    return kind.endswith(("FeatureExtractor", "Processor"))


def _is_module(kind: str) -> bool:
    return not (kind.endswith("Scheduler") or "Tokenizer" in kind or _optional(kind))


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return path.suffix != ".json"
    return True


def _whole(path: Path) -> bool:
    """Whether a file is as long as it says. Of a pickle nothing can be told without reading it."""
    if path.suffix == ".json":
        return _is_json(path)
    if path.suffix != ".safetensors":
        return True
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            table = json.loads(file.read(min(size, 100_000_000)))
        ends = [entry["data_offsets"][1] for name, entry in table.items() if name != "__metadata__"]
        return path.stat().st_size == 8 + size + max(ends, default=0)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError):
        return False


SCRIPTS = {
    "model_config.json": "convert_stable_audio.py",
    "audioldm2": "convert_original_audioldm2_to_diffusers.py",
    "musicldm": "convert_original_musicldm_to_diffusers.py",
    "audioldm": "convert_original_audioldm_to_diffusers.py",
    "acestep": "convert_ace_step_to_diffusers.py",
}
"""Scripts of diffusers that convert an original checkpoint, by a word in the names of its files."""


def original(names: Iterable[Any]) -> str:
    """Return what to do with a model whose files lie in another layout than that of diffusers."""
    names = list(names)
    if not any(str(name).endswith((".ckpt", ".safetensors", ".pth", ".pt", ".bin")) for name in names):
        return "it is not a model in the diffusers layout"
    joined = " ".join(str(name).lower() for name in names)
    script = next((script for word, script in SCRIPTS.items() if word in joined), "convert_..._to_diffusers.py")
    return (
        "it is the original layout, or one file, and what is read is the layout of diffusers: convert it with "
        f"scripts/{script} of the diffusers repository, or take a repository that holds {INDEX}"
    )
