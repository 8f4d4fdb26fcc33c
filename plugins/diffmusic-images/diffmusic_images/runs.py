"""From flags to a job, and from results to files with their run record."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from diffmusic.cli.terminal import progress_bar, say
from diffmusic.errors import InputError
from diffmusic.jobs import outputs, record
from diffmusic.models.load import Access
from diffmusic.parameters import assignments, bind, checked
from diffmusic.problem.operator import HasObservedRate, Operator
from diffmusic_images import files
from diffmusic_images.settings import Settings
from diffmusic_images.stable_diffusion import StableDiffusion
from diffmusic_images.tasks import Images

AnySettings = TypeVar("AnySettings", bound=Settings)


def job(kind: type[AnySettings], given: Mapping[str, Any], solver: str = "") -> AnySettings:
    """Return the settings that flags say. Raises InputError naming the one that cannot be. solver: the default."""
    names = {field.name for field in dataclasses.fields(kind)}
    chosen = {name: value for name, value in given.items() if name in names and value is not None}
    default = {"solver": solver} if solver else {}
    return checked(kind(**(default | chosen), solver_parameters=assignments(given["settings"])))


def model(job: Settings, given: Mapping[str, Any]) -> StableDiffusion:
    """Load the prior. Raises InputError for one that is not of images."""
    found = Access(given["offline"], given["allow_pickle"]).load_any(job.model, job.device, job.dtype)
    if not isinstance(found, StableDiffusion):
        raise InputError(f"model {job.model!r} is no prior of images")
    return found


def damaged(image: np.ndarray, operator: Operator) -> np.ndarray:
    """Damage an image, (3, rows, columns), as INPUT of ``solve`` would be."""
    rate = image.shape[2]
    columns = operator.observed_rate(rate) if isinstance(operator, HasObservedRate) else rate
    if columns != rate and image.shape[1] % (rate // columns):
        raise InputError(f"{image.shape[1]} rows cannot be divided by {rate // columns}: choose another `size`")
    pixels = torch.from_numpy(image.copy()).flatten(1)[None]
    return bind(operator, sample_rate=rate).forward(pixels).reshape(3, -1, columns).numpy()


def output(path: Path, chosen: Path | None, word: str) -> Path:
    """Return where the first result goes, a PNG. Raises InputError for another kind of file."""
    if chosen is None:
        return path.with_name(f"{path.stem}.{word}.png")
    if chosen.suffix.lower() != ".png":
        raise InputError(f"output {chosen}: images are written as PNG, NAME.png")
    return chosen


def numbered(path: Path, count: int) -> list[Path]:
    """Number a path for several results."""
    return [path] if count == 1 else [path.with_name(f"{path.stem}-{n + 1}{path.suffix}") for n in range(count)]


def check(paths: Sequence[Path], path: Path) -> None:
    """Raise InputError, before any work is done, where a result cannot be written or would replace the input."""
    outputs.check(paths, [path])


@contextmanager
def bar(path: Path) -> Iterator[Callable[[float], None] | None]:
    """Show a progress bar on a terminal."""
    with progress_bar(1) as begin:
        yield begin(0, path.name)


def leave(
    command: str,
    images: Mapping[Path, np.ndarray],
    path: Path,
    job: Settings,
    model: StableDiffusion | None,
    result: Images,
    about: Mapping[str, Any],
    as_json: bool,
    more: Mapping[Path, bytes] | None = None,
) -> None:
    """Write images, other files and the run record, all or none, and say what was made."""
    document = record.document(
        command,
        dataclasses.asdict(job),
        [path],
        model.describe() if model else None,
        record.spent(result.costs, result.seconds),
    ) | {"sigmas": result.sigmas, **about}
    first = next(iter(images))
    contents = {each: files.encode(image) for each, image in images.items()} | dict(more or {})
    outputs.write({**contents, first.with_name(f"{first.name}.json"): record.dump(document).encode()})
    if as_json:
        say(record.line(document))
        return
    for each in contents:
        say(str(each))
    for name, values in dict(about.get("metrics", {})).items():
        say(f"{name} {', '.join(f'{value:.2f} dB' for value in values)}")
