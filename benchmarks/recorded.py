"""Damage with a place in recorded music: solvers beside interpolation, with paired intervals.

    python -m benchmarks.recorded CLIPS --problem gap --model mini --row "mmps" --row "repaint steps=12 repeats=6"
    python -m benchmarks.recorded CLIPS --problem ring --problem squeak --row mmps --samples 4
    python -m benchmarks.recorded --table --problem gap

CLIPS is a folder of clean recordings at 16 kHz; the middle 5.12 s of each are used. Problems: ``gap``, one second of
time; ``ring``, 1 to 4 kHz of one second; ``squeak``, 0.3 to 1.2 kHz of half a second; ``half``, all above 4 kHz. A row
is a solver with its parameters, ``steps`` and ``equalise``; ``linear`` is a straight line through the log-mel, and
``round trip`` what the prior's encoder and decoder leave of the truth. What is measured is what ``restore`` returns,
finished.

Measured where the damage lies (frames wholly inside, bands whose centre is inside): log-mel L1 of one sample and of the
mean of all samples, nats; flux, ``mean |M[t+1] - M[t]|`` over the truth's; and ``outside``, the part of the cells where
the truth lies above or below every sample, ``2 / (N + 1)`` if it could be one of ``N`` more. A clip and row is a line
of benchmarks/results/recorded.jsonl; what is there already is not measured again. The table has means, and the paired
differences of the mean of all samples to the first row with intervals of 95 %.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from diffmusic.audio.mel import LogMel, MelSpec, mel_filters
from diffmusic.models.load import load_model
from diffmusic.parameters import build
from diffmusic.plugins import registry
from diffmusic.tasks.prior_quality import flux
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings
from diffmusic_operators.inpainting import Inpainting
from diffmusic_operators.resampling import Resampling

RATE, EXCERPT = 16000, 81920
SPEC = MelSpec()
RESULTS = Path(__file__).parent / "results" / "recorded.jsonl"
PROBLEMS: dict[str, tuple[float, float, float, float]] = {
    "gap": (2.06, 3.06, 0.0, 8000.0),
    "ring": (2.06, 3.06, 1000.0, 4000.0),
    "squeak": (2.31, 2.81, 300.0, 1200.0),
    "half": (0.0, 5.12, 4000.0, 8000.0),
}
"""Seconds and Hz of what is lost."""


def operator_of(problem: str, equalise: bool = True) -> Any:
    start, stop, low, high = PROBLEMS[problem]
    if problem == "half":
        return Resampling()
    if problem == "gap":
        return Inpainting(gap=((start, stop),), equalise=equalise)
    return Inpainting(region=((start, stop, low, high),))


def log_mel(audio: np.ndarray) -> np.ndarray:
    return LogMel(SPEC)(torch.from_numpy(audio).float()[None])[0].numpy()


def inside(problem: str) -> tuple[slice, np.ndarray]:
    """Frames and bands that lie in the damage."""
    start, stop, low, high = PROBLEMS[problem]
    margin = SPEC.n_fft / 2
    frames = slice(math.ceil((start * RATE + margin) / SPEC.hop), math.floor((stop * RATE - margin) / SPEC.hop))
    filters = mel_filters(SPEC, torch.float64, torch.device("cpu")).numpy()
    centres = filters.argmax(1) * RATE / SPEC.n_fft
    return frames, np.flatnonzero((centres >= low) & (centres <= high))


def straight(problem: str, truth: np.ndarray) -> np.ndarray:
    """The log-mel with a straight line in every lost band, over the frames that see any of the damage."""
    start, stop, _, _ = PROBLEMS[problem]
    margin = SPEC.n_fft / 2
    a, b = math.floor((start * RATE - margin) / SPEC.hop) - 1, math.ceil((stop * RATE + margin) / SPEC.hop)
    mel, (_, bands) = truth.copy(), inside(problem)
    weight = np.linspace(0, 1, b - a + 1)[:, None]
    mel[a : b + 1, bands] = (1 - weight) * truth[a, bands] + weight * truth[b, bands]
    return mel


def scores(problem: str, truth: np.ndarray, mels: list[np.ndarray]) -> dict[str, float]:
    frames, bands = inside(problem)
    true = truth[frames][:, bands]
    drawn = np.stack([mel[frames][:, bands] for mel in mels])

    return {
        "one": float(np.abs(drawn - true).mean()),
        "mean": float(np.abs(drawn.mean(0) - true).mean()),
        "flux": float(np.mean([flux(each) for each in drawn])) / flux(true),
        "outside": float(((true > drawn.max(0)) | (true < drawn.min(0))).mean()),
    }


def estimates(row: str, problem: str, clean: np.ndarray, prior: Any, samples: int) -> tuple[list[np.ndarray], Any]:
    """Log-mels of a row, and what it cost."""
    truth = log_mel(clean)
    if row == "linear":
        return [straight(problem, truth)], {}
    if row == "round trip":
        with torch.no_grad():
            x = torch.from_numpy(clean).float()[None, None]
            gain = x.square().mean().sqrt() * 10
            return [log_mel((prior.decode(prior.encode(x / gain), EXCERPT) * gain)[0, 0].numpy())], {}
    name, *words = row.split()
    given = dict(word.split("=", 1) for word in words)
    steps, finish = int(given.pop("steps", 25)), given.pop("finish", "1") == "1"
    operator = operator_of(problem, given.pop("equalise", "1") == "1")
    solver = build(registry().load("solver", name), given, f"solver {name!r}")
    rate = RATE // 2 if problem == "half" else RATE
    measured = operator.forward(torch.from_numpy(clean)[None, None])[0].numpy()
    count = 1 if hasattr(solver, "estimate") else samples
    result = restore(
        measured, rate, operator, solver, prior, RestoreSettings(steps=steps, samples=count, finish=finish)
    )
    return [log_mel(audio[0][:EXCERPT]) for audio in result.audio], result.costs.as_dict()


def excerpts(folder: Path, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """The names of so many recordings, spread evenly over a folder, and the middle of each, mono."""
    paths = sorted(folder.glob("*.flac")) + sorted(folder.glob("*.wav"))
    for number in np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int):
        audio, rate = soundfile.read(paths[number], always_2d=True)
        if rate != RATE or len(audio) < EXCERPT:
            raise SystemExit(f"{paths[number]}: it takes {EXCERPT / RATE} s at {RATE} Hz")
        first = (len(audio) - EXCERPT) // 2
        yield paths[number].stem, audio[first : first + EXCERPT].mean(1)


def measure(chosen: argparse.Namespace) -> None:
    prior: Any = load_model(chosen.model)
    model = prior.describe()["sha256"][:12]
    known = {(line["clip"], line["problem"], line["row"], line["model"]) for line in read()}
    for clip, clean in excerpts(chosen.clips, chosen.count):
        for problem in chosen.problem:
            for row in chosen.row:
                if (clip, problem, row, model) in known or (row == "linear" and problem == "half"):
                    continue
                wall, cpu = time.perf_counter(), time.process_time()
                mels, costs = estimates(row, problem, clean, prior, chosen.samples)
                line = {"clip": clip, "problem": problem, "row": row, "model": model, "samples": len(mels)}
                line |= {key: round(value, 4) for key, value in scores(problem, log_mel(clean), mels).items()}
                line |= {"seconds": round(time.perf_counter() - wall, 2), "cpu": round(time.process_time() - cpu, 2)}
                with RESULTS.open("a") as file:
                    file.write(json.dumps(line | {"costs": costs}) + "\n")
                print(line, flush=True)


def read() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def table(problems: list[str]) -> str:
    """Means of every row and model, over the clips that all rows of a model have."""
    lines = []
    for problem in problems:
        by_model: dict[str, dict[str, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
        for line in read():
            if line["problem"] == problem:
                by_model[line["model"]][line["row"]][line["clip"]] = line
        for model, rows in by_model.items():
            clips = sorted(set.intersection(*(set(row) for row in rows.values())))
            if not clips:
                continue
            lines += ["", f"{problem}, model {model}, {len(clips)} clips", "",
                      "| row | one | mean of all | flux | outside | CPU s a sample | difference to the first row |",
                      "|---|---|---|---|---|---|---|"]  # fmt: skip
            first = np.array([next(iter(rows.values()))[clip]["mean"] for clip in clips])
            for row, found in rows.items():
                values = {key: np.array([found[clip][key] for clip in clips])
                          for key in ("one", "mean", "flux", "outside", "cpu", "samples")}  # fmt: skip
                change = values["mean"] - first
                half = 1.96 * change.std(ddof=1) / math.sqrt(len(change)) if len(change) > 1 else math.nan
                cells = [f"{values[key].mean():.3f}" for key in ("one", "mean", "flux", "outside")]
                cells += [f"{(values['cpu'] / values['samples']).mean():.1f}", f"{change.mean():+.3f} +- {half:.3f}"]
                lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="?")
    parser.add_argument("--problem", action="append", choices=list(PROBLEMS), required=True)
    parser.add_argument("--row", action="append", default=[])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--count", type=int, default=24, help="of the clips, spread evenly over the folder")
    parser.add_argument("--table", action="store_true", help="only print what was measured")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if not chosen.table:
        measure(chosen)
    print(table(chosen.problem))


if __name__ == "__main__":
    main()
