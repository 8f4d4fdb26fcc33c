"""The corpus in memory order: every clip of a split decoded once into one int16 array on disk."""

import json
import os
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from diffmusic.audio.mel import MelSpec

MEL = MelSpec()
EXCERPT_SECONDS = 5.12
CLIP_SAMPLES = 12 * MEL.sample_rate


def split(work: Path, name: str) -> np.ndarray:
    """All clips of a split, (clips, samples) int16, memory-mapped; decoded on first use."""
    path = work / f"{name}.npy"
    if not path.exists():
        corpus = work / "corpus"
        rows = [json.loads(line) for line in (corpus / "manifest.jsonl").read_text().splitlines()]
        clips = sorted(row["clip"] for row in rows if row["split"] == name)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        audio = np.lib.format.open_memmap(temporary, "w+", np.int16, (len(clips), CLIP_SAMPLES))
        for row, clip in zip(audio, clips, strict=True):
            samples, rate = soundfile.read(corpus / clip, dtype="int16")
            if rate != MEL.sample_rate or samples.ndim != 1:
                raise ValueError(f"{clip}: expected {MEL.sample_rate} Hz mono, found {rate} Hz {samples.shape}")
            row[: len(samples)] = samples[:CLIP_SAMPLES]
        audio.flush()
        os.replace(temporary, path)
    return np.load(path, mmap_mode="r")


def to_float(samples: np.ndarray) -> Tensor:
    """int16 to float32 in [-1, 1)."""
    return torch.from_numpy(np.asarray(samples, dtype=np.float32) / 32768)


def crops(clips: np.ndarray, batch: int, length: int, generator: torch.Generator, gain_db: float = 6.0) -> Tensor:
    """Random excerpts (batch, length) at a random level of up to +-gain_db, so that no level is special."""
    rows = torch.randint(len(clips), (batch,), generator=generator).tolist()
    starts = torch.randint(clips.shape[1] - length + 1, (batch,), generator=generator).tolist()
    audio = torch.stack([to_float(clips[row, start : start + length]) for row, start in zip(rows, starts, strict=True)])
    gain = 10 ** (gain_db / 20 * (2 * torch.rand(batch, 1, generator=generator) - 1))
    return audio * gain


def fixed_crops(clips: np.ndarray, count: int, length: int) -> Tensor:
    """The same excerpts every time, for validation: the middle of clips spread over the split."""
    rows = np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int)
    start = (clips.shape[1] - length) // 2
    return torch.stack([to_float(clips[row, start : start + length]) for row in rows])
