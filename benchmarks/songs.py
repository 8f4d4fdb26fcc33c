"""What a song knows of its own gaps: python -m benchmarks.songs FOLDER

One gap of each length in every recording below FOLDER that is long enough, at a place that ``--seed`` draws, where
there is sound. Rows, all on the same gaps: `interpolate`; linear interpolation of the log-mel, which is no sound;
`repeat`; `repeat shuffled`, copied from where a gap elsewhere in the song would be copied from, which tells what the
search is worth; with ``--prior`` the solver with a prior on mini, by what lies around the gap (`prior`) and with what
the song says again of it (`prior song`), and `auto`. Each has the mean absolute difference of the log-mel (64 bands, 16
kHz, nats) over the frames wholly inside the gap, its flux, the mean absolute change from frame to frame, over the
original's, and the SNR of the waveform in the gap, dB.

``--calibrate`` prints the mean of `auto` by its thresholds, from the rows that are there.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffmusic.audio import files
from diffmusic.audio.mel import LogMel
from diffmusic.audio.repetition import best_match
from diffmusic.audio.resample import resample
from diffmusic.audio.signal import Patched, whole
from diffmusic.audio.song import Song
from diffmusic.models.load import load_model
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import Context, RestoreSettings
from diffmusic_operators.inpainting import Inpainting
from diffmusic_solvers.auto import Auto
from diffmusic_solvers.interpolate import Interpolate

LENGTHS = (0.1, 0.3, 1.0, 2.0, 5.0, 10.0)
AROUND, AUDIBLE, LONGEST = 0.5, 1e-3, 180.0
EDGES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, float("inf"))
RESULTS = Path(__file__).parent / "results"


def log_mel(audio: np.ndarray, rate: int, gap: tuple[int, int]) -> tuple[np.ndarray, slice]:
    """Frames from half a second before a gap to as much behind it, and which of them lie wholly inside it."""
    margin = round(AROUND * rate)
    mono = resample(audio[:, gap[0] - margin : gap[1] + margin].mean(0), rate, 16_000)
    first, last = round(AROUND * 100), round((AROUND + (gap[1] - gap[0]) / rate) * 100)
    # Of a gap as short as a frame, all that are centred in it.
    first, last = (first + 4, last - 4) if last - first >= 10 else (first, last + 1)
    return LogMel()(torch.from_numpy(mono)[None])[0].numpy(), slice(first, last)


def judged(clean: np.ndarray, estimate: np.ndarray, rate: int, gap: tuple[int, int]) -> dict[str, float]:
    truth, inside = log_mel(clean, rate, gap)
    made = log_mel(estimate, rate, gap)[0]
    x, y = (audio[:, gap[0] : gap[1]] for audio in (clean, estimate))
    snr = 10 * np.log10(np.square(x).sum() / max(1e-20, float(np.square(x - y).sum())))
    return scores(truth[inside], made[inside]) | {"snr": float(snr)}


def scores(truth: np.ndarray, made: np.ndarray) -> dict[str, float]:
    flux = [float(np.abs(np.diff(x, axis=0)).mean()) if len(x) > 1 else 0.0 for x in (truth, made)]
    return {"mel_l1": float(np.abs(truth - made).mean()), "flux": flux[1] / max(flux[0], 1e-9)}


def straight(clean: np.ndarray, rate: int, gap: tuple[int, int]) -> dict[str, float]:
    """The log-mel interpolated from the last frame before a gap to the first behind it."""
    truth, inside = log_mel(clean, rate, gap)
    a, b = inside.start - 9, inside.stop + 8
    rise = ((np.arange(inside.start, inside.stop) - a) / (b - a))[:, None]
    return scores(truth[inside], (1 - rise) * truth[a] + rise * truth[b])


def rows_of(path: Path, seconds: float, draws: np.random.Generator, prior: Any, steps: int) -> dict[str, Any] | None:
    recording = files.read(path)
    rate = recording.sample_rate
    clean = recording.samples[:, : round(LONGEST * rate)]
    duration = clean.shape[-1] / rate
    if duration < seconds + 20:
        return None
    for _ in range(20):
        start = draws.uniform(5, duration - 5 - seconds)
        gap = round(start * rate), round((start + seconds) * rate)
        if np.sqrt(np.square(clean[:, gap[0] : gap[1]]).mean()) > AUDIBLE:
            break
    operator = Inpainting(gap=((gap[0] / rate, gap[1] / rate),), sample_rate=rate)
    damaged = clean.copy()
    damaged[:, gap[0] : gap[1]] = 0
    row: dict[str, Any] = {"name": path.stem, "gap": seconds, "start": gap[0] / rate}
    started = time.process_time()
    song = Song.of(clean, rate, [gap])
    match = song.match(gap)
    row["search_cpu_seconds"] = round(time.process_time() - started, 2)
    if match is None:
        return None
    patch, note = song.copied(gap, match)
    out = whole(Patched(song.signal, [patch]))
    row["distance"], row["pieces"] = match.distance, len(note["source"])
    row["interpolate"] = judged(clean, restore(damaged, rate, operator, Interpolate()).audio[0], rate, gap)
    row["linear"] = straight(clean, rate, gap)
    row["repeat"] = judged(clean, out, rate, gap)
    elsewhere = draws.uniform(5, duration - 5 - seconds)
    other = best_match(song.features, elsewhere, elsewhere + seconds)
    place = elsewhere + (other.pieces[0].shift if other else 0.0)
    begin = int(np.clip(round(place * rate), 0, clean.shape[-1] - (gap[1] - gap[0])))
    shuffled = damaged.copy()
    shuffled[:, gap[0] : gap[1]] = damaged[:, begin : begin + gap[1] - gap[0]]
    row["repeat shuffled"] = judged(clean, shuffled, rate, gap)
    if prior is not None and seconds <= Auto().far:
        row |= by_prior(clean, rate, gap, prior, steps)
    return row


def by_prior(clean: np.ndarray, rate: int, gap: tuple[int, int], prior: Any, steps: int) -> dict[str, Any]:
    """One sample of the solver with a prior that `auto` leaves gaps to, without the song and with it."""
    operator = Inpainting(gap=((gap[0] / rate, gap[1] / rate),), sample_rate=rate)
    contexts: dict[str, Context] = {"prior": "excerpt", "prior song": "song"}
    rows = {}
    for name, context in contexts.items():
        settings = RestoreSettings(steps=steps, context=context)
        made = restore(clean, rate, operator, Auto().rest(), prior, settings)
        rows[name] = judged(clean, made.audio[0], rate, gap) | {"seconds": round(made.seconds, 1)}
    return rows


def complete(output: Path, paths: list[Path], prior: Any, steps: int, near: float) -> None:
    """Run the prior for those rows of an output of which `auto` would, and which lack it."""
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    for row in rows:
        if with_auto(row, near)["auto"] is None:
            recording = files.read(next(path for path in paths if path.stem == row["name"]))
            rate, start = recording.sample_rate, round(row["start"] * recording.sample_rate)
            gap = start, start + round(row["gap"] * rate)
            row |= by_prior(recording.samples[:, : round(LONGEST * rate)], rate, gap, prior, steps)
            output.write_text("".join(json.dumps(each) + "\n" for each in rows))


def with_auto(row: dict[str, Any], near: float = Auto().near) -> dict[str, Any]:
    """The row with what `auto` makes of the gap, one of the others; none where its prior was not run."""
    auto = Auto()
    if row["gap"] < auto.short:
        name = "interpolate"
    else:
        name = "repeat" if row["distance"] < near or row["gap"] > auto.far else "prior song"
    return row | {"auto": row.get(name)}


def mean(rows: list[dict[str, Any]], name: str, key: str) -> float:
    values = [row[name].get(key, np.nan) for row in rows if row.get(name)]
    return float(np.mean(values)) if values else float("nan")


def table(rows: list[dict[str, Any]]) -> None:
    names = [name for name in ("interpolate", "linear", "repeat", "repeat shuffled", "prior", "prior song", "auto")
             if all(row.get(name) for row in rows)]  # fmt: skip
    print(f"| {len(rows)} gaps | {' | '.join(names)} |\n|{'---|' * (1 + len(names))}")
    for key in ("mel_l1", "flux", "snr"):
        if key == "snr" and not any("snr" in row["repeat"] for row in rows):
            continue
        print(f"| {key} | {' | '.join(f'{mean(rows, name, key):.3f}' for name in names)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lengths", type=float, nargs="+", default=list(LENGTHS))
    parser.add_argument("--prior", action="store_true")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--most", type=int, default=1000, help="recordings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--complete", action="store_true", help="the output by the prior where auto takes it")
    parser.add_argument("--near", type=float, default=Auto().near, help="the threshold of auto, nats")
    parser.add_argument("--tables", action="store_true", help="of the output that is there")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "songs.jsonl")
    given = parser.parse_args()
    prior = load_model("mini") if given.prior or given.complete else None
    paths = files.below(given.folder)
    chosen = [
        paths[k] for k in np.unique(np.linspace(0, len(paths) - 1, min(given.most, len(paths))).round().astype(int))
    ]
    rows: list[dict[str, Any]] = []
    if given.complete:
        complete(given.output, paths, prior, given.steps, given.near)
    if given.tables or given.complete:
        rows = [json.loads(line) for line in given.output.read_text().splitlines()]
        chosen = []
    with given.output.open("a" if given.tables or given.complete else "w") as out:
        for number, path in enumerate(chosen):
            for seconds in given.lengths:
                row = rows_of(
                    path, seconds, np.random.default_rng([given.seed, number, round(100 * seconds)]), prior, given.steps
                )
                if row:
                    rows.append(row)
                    print(json.dumps(row), file=out, flush=True)
    rows = [with_auto(row, given.near) for row in rows]
    for seconds in sorted({row["gap"] for row in rows}):
        print(f"\nGaps of {seconds:g} s")
        table([row for row in rows if row["gap"] == seconds])
    for low, high in pairwise(EDGES):
        part = [row for row in rows if row["gap"] >= 0.5 and low <= row["distance"] < high]
        if part:
            print(f"\nGaps of half a second and longer, context distance {low:g} to {high:g}")
            table(part)
    if given.calibrate:
        # Gaps that no threshold here leaves to the prior count as copied.
        least = min((row["distance"] for row in rows if row.get("prior song")), default=np.inf)
        for near in np.arange(0.2, 1.3, 0.05):
            if near < least - 0.05:
                continue
            chosen = [
                row["repeat"] if row["distance"] < near or not row.get("prior song") else row["prior song"]
                for row in rows
            ]
            means = [np.mean([each[key] for each in chosen]) for key in ("mel_l1", "flux")]
            print(f"near {near:.2f}: mel_l1 {means[0]:.3f}, flux {means[1]:.3f}")


if __name__ == "__main__":
    main()
