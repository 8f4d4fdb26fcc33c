"""Run record: everything needed to know how a file was made, and to make it again."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from diffmusic.errors import InputError
from diffmusic.parameters import checked
from diffmusic.plugins import FILES
from diffmusic.prior.backbone import Costs

T = TypeVar("T")
PACKAGES = ("diffmusic", "torch", "diffusers", "transformers", "numpy", "scipy", "librosa", "soundfile", "soxr")


def versions() -> dict[str, str]:
    """Python and the packages a result depends on."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


def peak_memory() -> int:
    """Largest resident memory of this process so far, bytes; 0 where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak_memory() -> None:
    """Let ``peak_memory`` count from here on, where the system can (Linux); elsewhere it goes on from the start."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes; of a folder, over the names and bytes of its files."""
    if path.is_dir():
        digest = hashlib.sha256()
        for each in sorted(each for each in path.rglob("*") if each.is_file()):
            digest.update(f"{each.relative_to(path).as_posix()} {file_hash(each)}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plugin_files() -> list[dict[str, str]]:
    """List the single-file plugins of this process, with their hashes."""
    return [{"path": str(path), "sha256": file_hash(path)} for path in FILES]


def dump(record: dict[str, Any]) -> str:
    """Format a record as JSON; numbers that JSON lacks become null."""
    return _json(record, 2) + "\n"


def line(record: dict[str, Any]) -> str:
    """Format a record as JSON in one line, without the line end."""
    return _json(record, None)


def _json(record: dict[str, Any], indent: int | None) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return str(value) if isinstance(value, Path) else value

    return json.dumps(plain(record), indent=indent, allow_nan=False)


def files(paths: Sequence[Path]) -> list[dict[str, str]]:
    """Paths with the hashes of what they hold."""
    return [{"path": str(path), "sha256": file_hash(path)} for path in paths]


def spent(costs: Costs, seconds: float) -> dict[str, Any]:
    """Describe the costs of a run for its record."""
    return {**costs.as_dict(), "seconds": round(seconds, 3)}


def document(
    command: str, job: dict[str, Any], inputs: Sequence[Path], model: dict[str, Any] | None, costs: dict[str, Any]
) -> dict[str, Any]:
    """Assemble the part that all run records share: job, files, components, versions and costs."""
    import torch

    return {
        "command": command,
        "versions": versions(),
        "plugin_files": plugin_files(),
        "job": job,
        "inputs": files(inputs),
        "model": model,
        "costs": costs,
        "peak_memory_bytes": peak_memory(),
        "threads": torch.get_num_threads(),
    }


def load(path: Path, command: str = "solve") -> dict[str, Any]:
    """Read the run record of a command. Raises InputError for a file that is none, and for one that needs a plugin that
    was a file."""
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a run record: {' '.join(str(error).split())}") from None
    if not isinstance(record, dict) or record.get("command") != command or not isinstance(record.get("job"), dict):
        raise InputError(f"{path} is not a run record of diffmusic {command}")
    for each in record.get("plugin_files", ()):
        path = Path(each["path"])
        if path not in FILES:
            raise InputError(f"{path} was added to that run: repeat it with --plugin {path}")
        if file_hash(path) != each["sha256"]:
            warnings.warn(f"{path} has changed since that run", stacklevel=2)
    return record


def model_hash(path: Path) -> str:
    """Return the hash of the weights that a recorded run was made with; "" where there was no model."""
    try:
        return str(json.loads(path.read_text())["model"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def other_threads(path: Path) -> str:
    """Return what to say where a recorded run had another number of threads than this one; "" where it had the same."""
    import torch

    try:
        recorded, here = int(json.loads(path.read_text())["threads"]), torch.get_num_threads()
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if recorded == here:
        return ""
    return (
        f"that run had {recorded} threads, this one has {here}: a sum may end in another last bit "
        f"(OMP_NUM_THREADS={recorded} repeats it)"
    )


def changed_adapters(path: Path) -> list[str]:
    """Return the adapters of a recorded run of solve or edit that have changed since, by their paths."""
    try:
        adapters = [(each["path"], each["sha256"]) for each in json.loads(path.read_text())["adapter"]]
        return [name for name, known in adapters if Path(name).exists() and file_hash(Path(name)) != known]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def job(recorded: Mapping[str, Any], kind: type[T]) -> T:
    """Read the job of a record, a dataclass. Raises InputError for another kind or version."""
    try:
        return checked(kind(**recorded["job"]))
    except TypeError:  # not a mapping, or of other fields
        raise InputError("the run record's job is not one this version understands") from None


def inputs(recorded: Mapping[str, Any] | None) -> tuple[Path, ...]:
    """Return the input files of a run; none without a record. Raises InputError for a record that names none."""
    try:
        return tuple(Path(each["path"]) for each in recorded["inputs"]) if recorded else ()
    except (TypeError, KeyError):
        raise InputError("the run record does not say which files it is of") from None
