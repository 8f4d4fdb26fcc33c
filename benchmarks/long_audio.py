"""Minutes of music solved whole: memory, time, and whether the seams between windows can be heard.

    python -m benchmarks.long_audio --seconds 180 --steps 3

The example clip, its channels swapped and turned round at every repetition, is played in a synthetic room and
dereverberated. A seam would be a jump of the log-mel where decoded windows cross: the mean change from one frame to the
next at the crossings is put beside that of all other frames, for the estimate before finishing and for the truth.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from diffmusic import models, record
from diffmusic.audio import files
from diffmusic.audio.mel import LogMel
from diffmusic.audio.resample import resample
from diffmusic.long import Windowed
from diffmusic.parameters import bind
from diffmusic.restore import restore
from diffmusic_operators.reverb import Reverb
from diffmusic_solvers.diffmusic import DiffMusic

CLIP = Path(__file__).parents[1] / "examples" / "clip.flac"


def music(seconds: float) -> tuple[np.ndarray, int]:
    """Stereo of that length, (2, time), and its rate."""
    clip = files.read(CLIP)
    turns = [clip.samples, clip.samples[::-1], clip.samples[:, ::-1], clip.samples[::-1, ::-1]]
    count = round(seconds * clip.sample_rate)
    repeats = -(-count // clip.samples.shape[1])
    return np.concatenate([turns[k % 4] for k in range(repeats)], axis=1)[:, :count], clip.sample_rate


def changes(audio: np.ndarray, rate: int, crossings: list[float]) -> dict[str, float]:
    """Mean log-mel change from frame to frame, nats, within 30 ms of the crossings (seconds) and elsewhere."""
    low = torch.from_numpy(resample(audio, rate, 16000))
    steps = LogMel()(low).diff(dim=1).abs().mean((0, 2)).numpy()
    at = (np.arange(len(steps)) + 1) / LogMel().spec.frame_rate
    near = np.min(np.abs(at[:, None] - np.array(crossings)), axis=1) < 0.03
    return {"crossings": float(steps[near].mean()), "elsewhere": float(steps[~near].mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--no-finish", action="store_true")
    given = parser.parse_args()
    clean, rate = music(given.seconds)
    operator = bind(Reverb(), sample_rate=rate)
    measured = operator.forward(torch.from_numpy(clean)[None])[0].numpy()
    backbone = models.load("mini")
    begun = time.perf_counter()
    solver = DiffMusic(repeats=1)
    result = restore(measured, rate, Reverb(), solver, backbone, steps=given.steps, finish=not given.no_finish)
    long = Windowed.of(backbone)
    windows = long.calls(round(given.seconds * long.sample_rate))
    stride = (long.frames - long.overlap) * long.hop / long.sample_rate
    middle = (long.frames - long.overlap / 2) * long.hop / long.sample_rate
    crossings = [middle + k * stride for k in range(windows - 1)]
    print(json.dumps({
        "seconds": given.seconds, "steps": given.steps, "windows": windows, "costs": result.costs.as_dict(),
        "wall_seconds": round(time.perf_counter() - begun, 1), "peak_GB": round(record.peak_memory() / 1e9, 2),
        "finished": not given.no_finish, "estimate": changes(result.audio[0], rate, crossings),
        "truth": changes(clean, rate, crossings),
    }, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
