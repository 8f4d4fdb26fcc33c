"""Tables of measurements, and the excerpts and means they are made of."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.data import EXCERPT_SECONDS, MEL, split, to_float

OCTAVES = (62.5, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0)


@dataclass(frozen=True)
class Table:
    """A caption, the names of the columns, and rows of cells."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def markdown(table: Table) -> str:
    lines = [table.head, ["---"] * len(table.head), *table.rows]
    return f"{table.caption}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def excerpts(work: Path, name: str, count: int) -> Tensor:
    """The first excerpts of the trained length of every clip, (count, time), spread evenly over a split."""
    length = round(EXCERPT_SECONDS * MEL.sample_rate)
    every = [(clip, start) for clip in split(work, name) for start in (0, length)]
    chosen = np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)
    return to_float(np.stack([every[k][0][every[k][1] : every[k][1] + length] for k in chosen]))


def batches(x: Tensor, compute: Callable[[Tensor], Tensor], size: int = 8) -> Tensor:
    """Apply a function a few items at a time."""
    return torch.cat([compute(part) for part in x.split(size)])


def octave_levels(audio: Tensor) -> Tensor:
    """Energy in dB of (batch, time) in each octave from 62.5 Hz to 8 kHz, (batch, 7)."""
    power = torch.fft.rfft(audio).abs().square()
    hertz = torch.fft.rfftfreq(audio.shape[-1], 1 / MEL.sample_rate)
    bands = [power[:, (hertz >= low) & (hertz < 2 * low)].sum(-1) for low in OCTAVES]
    return 10 * torch.stack(bands, dim=-1).clamp(min=1e-6).log10()


def embed(clap: Any, audio: Tensor) -> np.ndarray:
    """CLAP embeddings of (batch, time), every window of every item."""
    return np.concatenate([clap.audio(each[None].double().numpy(), MEL.sample_rate) for each in audio])
