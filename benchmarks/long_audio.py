"""Minutes of music solved whole: memory, time, and whether the seams between windows can be heard.

    python -m benchmarks.long_audio --seconds 180 --steps 1
    python -m benchmarks.long_audio --seconds 30 --steps 12 --mono --no-finish
    python -m benchmarks.long_audio --report

The example clip, its channels swapped and turned round at every repetition, is played in a synthetic room and
dereverberated. A seam would be a jump of the log-mel where decoded windows cross: the mean change from one frame to the
next at the crossings is put beside that of all other frames, for the estimate and for the truth. A row is one fresh
process, because the peak of memory is the process's; ``--report`` prints the rows that were measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from diffmusic.audio import files
from diffmusic.audio.mel import LogMel
from diffmusic.audio.resample import resample
from diffmusic.jobs import record
from diffmusic.models.load import load_model
from diffmusic.parameters import bind
from diffmusic.prior.windowed import Windowed
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings
from diffmusic_operators.reverb import Reverb
from diffmusic_solvers.diffmusic import DiffMusic

CLIP = Path(__file__).parents[1] / "examples" / "clip.flac"
RESULTS = Path(__file__).parent / "results" / "long_audio.json"


def music(seconds: float) -> tuple[np.ndarray, int]:
    """Stereo of that length, (2, time), and its rate."""
    clip = files.read(CLIP)
    turns = [clip.samples, clip.samples[::-1], clip.samples[:, ::-1], clip.samples[::-1, ::-1]]
    count = round(seconds * clip.sample_rate)
    repeats = -(-count // clip.samples.shape[1])
    return np.concatenate([turns[k % 4] for k in range(repeats)], axis=1)[:, :count], clip.sample_rate


def changes(audio: np.ndarray, rate: int, crossings: np.ndarray, stride: float) -> dict[str, float]:
    """Mean log-mel change from frame to frame, nats, within 30 ms of the crossings (seconds) and elsewhere; and the
    least and the greatest of seven sets of as many places, the crossings shifted by eighths of the ``stride``."""
    low = torch.from_numpy(resample(audio, rate, 16000))
    steps = LogMel()(low).diff(dim=1).abs().mean((0, 2)).numpy()
    at = (np.arange(len(steps)) + 1) / LogMel().spec.frame_rate

    def near(places: np.ndarray) -> np.ndarray:
        return np.min(np.abs(at[:, None] - places), axis=1) < 0.03

    shifted = [float(steps[near(crossings - eighths * stride / 8)].mean()) for eighths in range(1, 8)]
    seam = near(crossings)
    means = {"crossings": float(steps[seam].mean()), "elsewhere": float(steps[~seam].mean())}
    return means | {"least": min(shifted), "greatest": max(shifted)}


def report() -> str:
    """The rows that were measured, as a table."""
    lines = [
        "| seconds | channels | windows | steps | peak, GB: solved, finished | CPU seconds: solved, finished "
        "| log-mel change at crossings (elsewhere: mean, range) | the same of the truth |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in json.loads(RESULTS.read_text()):
        cells = [f"{row['seconds']:g}", *(str(row[name]) for name in ("channels", "windows", "steps"))]
        for name, digits in (("peak_gb", 2), ("cpu_seconds", 0)):
            cells.append(", ".join("–" if each is None else f"{each:.{digits}f}" for each in row[name].values()))
        for name in ("estimate", "truth"):
            cells.append("{crossings:.3f} ({elsewhere:.3f}, {least:.3f} to {greatest:.3f})".format(**row[name]))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--mono", action="store_true", help="the mean of both channels")
    parser.add_argument("--no-finish", action="store_true")
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    if given.report:
        print(report())
        return
    clean, rate = music(given.seconds)
    clean = clean.mean(0, keepdims=True) if given.mono else clean
    operator = bind(Reverb(), sample_rate=rate)
    measured = operator.forward(torch.from_numpy(clean)[None])[0].numpy()
    backbone = load_model("mini")
    begun = time.process_time()
    marks: list[tuple[float, int]] = []  # CPU seconds and peak bytes after every step

    def progress(done: float) -> None:
        marks.append((time.process_time() - begun, record.peak_memory()))
        print(f"{done:4.0%} {marks[-1][0]:6.0f} s {marks[-1][1] / 1e9:.2f} GB", file=sys.stderr, flush=True)

    result = restore(
        measured,
        rate,
        Reverb(),
        DiffMusic(repeats=1),
        backbone,
        RestoreSettings(steps=given.steps, finish=not given.no_finish),
        progress=progress,
    )
    ended = (time.process_time() - begun, record.peak_memory())
    long = Windowed.of(backbone)
    starts = np.array(long.starts(long.latent_shape(round(given.seconds * long.sample_rate))[long.axis]))
    windows, unit = len(starts), long.hop / long.sample_rate
    crossings, stride = (starts[1:] + starts[:-1] + long.frames) / 2 * unit, starts[1] * unit
    solved, finished = (marks[-1], None if given.no_finish else ended)
    row = {
        "seconds": given.seconds, "channels": len(clean), "windows": windows, "steps": given.steps,
        "peak_gb": {"solved": round(solved[1] / 1e9, 2), "finished": finished and round(finished[1] / 1e9, 2)},
        "cpu_seconds": {"solved": round(solved[0], 1), "finished": finished and round(finished[0], 1)},
        "estimate": changes(result.audio[0], rate, crossings, stride),
        "truth": changes(clean, rate, crossings, stride),
        "costs": result.costs.as_dict(), "threads": torch.get_num_threads(), "model": backbone.describe(),
        "versions": record.versions(),
    }  # fmt: skip
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    same = ("seconds", "channels", "steps")
    kept = [each for each in kept if any(each[name] != row[name] for name in same)]
    RESULTS.write_text(json.dumps([*kept, row], indent=1) + "\n")
    print(report())


if __name__ == "__main__":
    main()
