"""Log-mels of a corpus in one array, with the text embeddings of its captions: what VAE and UNet learn from.

`training.build_mels` writes such a folder: ``mels.u8``, (frames, 64) uint8 in steps above the floor, ``sources.jsonl``,
one row a recording or clip, ``text.npy``, (sources, captions, 128) float16, and ``text_empty.npy``. What is imported
here is what a machine has that trains from a packed corpus: torch and numpy.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

# The mel of `training.data`, without what computes it.
BANDS, FRAME_RATE, FLOOR = 64, 100, math.log(1e-5)
EXCERPT_FRAMES = 512
STEP = 1 / 16  # nats
LEAST_HOURS = 0.25
SMOOTH = (0.35, 0.2, 0.2, 0.12, 0.12)  # nats, deviations of the curves of `equalise`
Row = dict[str, Any]


def quantise(mel: np.ndarray, step: float = STEP) -> np.ndarray:
    """Return log-mels in nats as uint8, in steps above the floor."""
    return np.clip(np.rint((mel - FLOOR) / step), 0, 255).astype(np.uint8)


class Mels:
    """Read a folder of quantised log-mels."""

    def __init__(self, folder: Path) -> None:
        self.codes = np.memmap(folder / "mels.u8", np.uint8, "r").reshape(-1, BANDS)
        self.rows = [json.loads(line) for line in (folder / "sources.jsonl").read_text().splitlines()]
        self.text = torch.from_numpy(np.load(folder / "text.npy"))
        self.empty = torch.from_numpy(np.load(folder / "text_empty.npy")).float()
        about = folder / "about.json"
        self.step = json.loads(about.read_text())["step"] if about.exists() else STEP

    def read(self, index: int, start: int, frames: int) -> Tensor:
        """Return an excerpt of a source, (frames, 64) in nats."""
        at = self.rows[index]["start"] + start
        return FLOOR + self.step * torch.from_numpy(self.codes[at : at + frames].astype(np.float32))

    def sampler(self, shares: Mapping[str, float], frames: int) -> "Sampler":
        """Return a sampler of training excerpts by the shares of their groups."""
        return Sampler(self, shares, frames)

    def fixed(self, kind: str, split: str, count: int, frames: int) -> tuple[Tensor, list[int]]:
        """Return the same excerpts every time, (count, frames, 64), of sources spread over a split, and which."""
        places = self.places(kind, split, count, frames)
        return torch.stack([self.read(index, start, frames) for index, start in places]), [index for index, _ in places]

    def places(self, kind: str, split: str, count: int, frames: int) -> list[tuple[int, int]]:
        """Return the sources and the starts of what `fixed` returns."""
        chosen = [k for k, row in enumerate(self.rows) if row["kind"] == kind and row["split"] == split]
        chosen = [k for k in chosen if self.rows[k]["frames"] >= frames]
        places = []
        for at in np.linspace(0, len(chosen), count, endpoint=False):
            index = chosen[int(at)]
            room = self.rows[index]["frames"] - frames
            places.append((index, round(room * (0.2 + 0.6 * (at % 1)))))
        return places


class Sampler:
    """Draw random excerpts: first a group by its share, then a source by its length, then a place in it."""

    def __init__(self, mels: Mels, shares: Mapping[str, float], frames: int) -> None:
        self.mels, self.frames = mels, frames
        self.sources = [k for k, row in enumerate(mels.rows) if row["split"] == "train" and row["frames"] >= frames]
        lengths = torch.tensor([float(mels.rows[k]["frames"]) for k in self.sources])
        groups = [mels.rows[k]["group"] for k in self.sources]
        self.weights = torch.zeros(len(groups))
        for group, share in shares.items():
            mine = torch.tensor([name == group for name in groups])
            if mine.any():
                self.weights[mine] = share * lengths[mine] / lengths[mine].sum()

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, list[int]]:
        """Return log-mels (count, frames, 64), at a random level and equalised at random, and their sources."""
        picks = torch.multinomial(self.weights, count, replacement=True, generator=generator).tolist()
        indices = [self.sources[pick] for pick in picks]
        places = torch.rand(count, generator=generator).tolist()
        parts = []
        for index, place in zip(indices, places, strict=True):
            room = self.mels.rows[index]["frames"] - self.frames
            parts.append(self.mels.read(index, int(place * (room + 1)), self.frames))
        mel = torch.stack(parts)
        if self.mels.step > STEP:  # coarse steps are blurred, or the network would learn them
            mel = mel + self.mels.step * (torch.rand(mel.shape, generator=generator) - 0.5)
        return equalise(mel, generator), indices


def equalise(mel: Tensor, generator: torch.Generator, gain_db: float = 6.0, share: float = 0.5) -> Tensor:
    """Change log-mels (batch, frames, bands): a level of up to +-gain_db; for a share, a smooth curve of a few dB."""
    batch, bands = mel.shape[0], mel.shape[-1]
    gain = math.log(10) / 20 * gain_db * (2 * torch.rand(batch, 1, 1, generator=generator) - 1)
    x = torch.linspace(-1, 1, bands)
    curves = torch.stack([x, *(wave(n * math.pi * x) for n in (1, 2) for wave in (torch.cos, torch.sin))])
    curve = (torch.randn(batch, len(curves), generator=generator) * torch.tensor(SMOOTH)) @ curves
    chosen = (torch.rand(batch, 1, generator=generator) < share).float()
    return (mel + gain + (chosen * curve)[:, None]).clamp(min=FLOOR)


def shares(rows: list[Row], rendered: float = 0.5, least_hours: float = LEAST_HOURS) -> dict[str, float]:
    """Return how often to draw each group: rendered music this often, banks alike, styles by the root of their hours.

    Groups of less than `least_hours` are left out: they would be learned by heart.
    """
    hours: dict[str, dict[str, float]] = {"recorded": {}, "rendered": {}}
    for row in rows:
        if row["split"] == "train":
            groups = hours[row["kind"]]
            groups[row["group"]] = groups.get(row["group"], 0.0) + row["frames"]
    drawn: dict[str, float] = {}
    for kind, share in (("recorded", 1 - rendered), ("rendered", rendered)):
        enough = {name: frames for name, frames in hours[kind].items() if frames > least_hours * 3600 * FRAME_RATE}
        roots = {name: math.sqrt(frames) if kind == "recorded" else 1.0 for name, frames in enough.items()}
        drawn |= {name: share * root / sum(roots.values()) for name, root in roots.items()}
    return drawn
