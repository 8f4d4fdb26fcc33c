"""How many faults ``diffmusic detect`` finds, and how many it invents: python -m benchmarks.detection FOLDER

Every recording below FOLDER is read, at most a minute from its middle on, and rounded to 16 bits. As it is, whatever is
found in it is counted as invented, also faded in and out with two seconds of digital silence at either end. Then it is
given faults whose places are known, ``--faults`` in all recordings together:

- dropout: zeros in every channel, or the last sample held, 2 to 500 ms; click: 1 to 40 samples of noise whose peak is
  0.3 to 1 of the surroundings' peak, or a pop, the same with a decay of 1 ms; skip: 50 to 500 ms cut out;
- clipping: all at 0.3 to 0.7 of the peak; dull: a low-pass at 4 to 11 kHz. One recording each.

A fault counts as found if one of its kind (a click may be called a skip, and the reverse) overlaps it within 5 ms.

``--weights`` prints what `diffmusic.audio.clicks` weighs bursts by: a logistic regression of those at clicks and skips
against all in the music as it is, half a minute of each recording and eighteen faults in each, with recall where a
quarter of the recordings was left out of the fit. Its constant is moved to one false alarm in a minute.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import butter, sosfiltfilt
from sklearn.linear_model import LogisticRegression

from diffmusic.audio import files
from diffmusic.audio.bursts import Burst
from diffmusic.audio.clicks import Bursts
from diffmusic.audio.defects import Defect
from diffmusic.audio.signal import Samples
from diffmusic.jobs.detect import defects

SECONDS, SLACK = 60.0, 0.005
POINTS = ("dropout", "click", "skip")
RESULTS = Path(__file__).parent / "results" / "detection.jsonl"


def found(audio: np.ndarray, rate: int) -> list[Defect]:
    """Everything that is listed of a recording rounded to 16 bits."""
    return defects(Samples(rounded(audio)), rate)


def rounded(audio: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(audio * 2**15), -(2**15), 2**15 - 1) / 2**15


def damaged(audio: np.ndarray, rate: int, count: int, draws: np.random.Generator) -> tuple[np.ndarray, list[Any]]:
    """A recording with ``count`` faults at least half a second apart, and what and where they are, (kind, sample)."""
    x, places = audio.copy(), []
    room = (x.shape[-1] - rate) / max(1, count)
    cuts = []
    for number in range(count):
        start = int(rate / 2 + room * number + draws.uniform(0, max(1.0, room - rate)))
        around = x[:, max(0, start - rate // 20) : start + rate // 20]
        peak = float(np.abs(around).max())
        if peak < 0.01:
            continue
        kind = POINTS[number % len(POINTS)]
        if kind == "dropout":
            length = int(np.exp(draws.uniform(np.log(0.002), np.log(0.5))) * rate)
            x[:, start : start + length] = 0 if draws.random() < 0.7 else x[:, start : start + 1]
        elif kind == "click":
            length = int(draws.integers(1, 41))
            burst = draws.uniform(-1, 1, length)
            if draws.random() < 0.3:
                burst = draws.uniform(-1, 1, rate // 200) * np.exp(-np.arange(rate // 200) / (0.001 * rate))
            burst *= draws.uniform(0.3, 1) * peak / np.abs(burst).max()
            x[:, start : start + len(burst)] += burst
        else:
            cuts.append((start, int(draws.uniform(0.05, 0.5) * rate)))
        places.append((kind, start))
    for start, length in reversed(cuts):
        x = np.delete(x, slice(start, start + length), axis=-1)
        places = [(kind, at - length if at > start else at) for kind, at in places]
    return x, places


def whole(audio: np.ndarray, rate: int, kind: str, draws: np.random.Generator) -> np.ndarray:
    """A recording that is clipped, or dull."""
    if kind == "clipping":
        level = draws.uniform(0.3, 0.7) * np.abs(audio).max()
        return np.clip(audio, -level, level)
    edge = draws.uniform(4000, min(11_000, 0.4 * rate))
    return np.asarray(sosfiltfilt(butter(16, edge, fs=rate, output="sos"), audio, axis=-1))


def ended(audio: np.ndarray, rate: int) -> np.ndarray:
    """Faded in and, within three seconds, out, with two seconds of digital silence at both ends."""
    fade = np.ones(audio.shape[-1])
    fade[: rate // 20] = np.linspace(0, 1, rate // 20)
    fade[-3 * rate :] = np.linspace(1, 0, 3 * rate) ** 2
    return np.pad(audio * fade, ((0, 0), (2 * rate, 2 * rate)))


def matched(places: list[Any], defects: list[Defect], rate: int) -> tuple[Counter[str], Counter[str]]:
    """How many faults of each kind were found, and how many found of each kind are none."""
    same = {"dropout": ("dropout",), "click": ("click", "skip"), "skip": ("skip", "click")}
    slack, hits, used = SLACK * rate, Counter[str](), set()
    for kind, at in places:
        near = [
            number
            for number, each in enumerate(defects)
            if each.kind in same[kind] and each.start - slack <= at <= each.stop + slack
        ]
        hits[kind] += bool(near)
        used |= set(near)
        # What begins and ends a dropout may be called a skip too.
        if kind == "dropout":
            used |= {
                n for n, each in enumerate(defects) if abs(each.start - at) < 0.6 * rate and each.kind != "dropout"
            }
    return hits, Counter(each.kind for n, each in enumerate(defects) if n not in used and each.kind in POINTS)


def weights(paths: list[Path], seed: int) -> None:
    """Fit the odds of a burst of the residual, and print them with the recall that they reach."""
    rows: list[tuple[str, str, list[float]]] = []
    seconds = 0.0
    for number, path in enumerate(paths):
        recording = files.read(path)
        rate = recording.sample_rate
        start = max(0, (recording.samples.shape[-1] - round(SECONDS / 2 * rate)) // 2)
        audio = recording.samples[:1, start : start + round(SECONDS / 2 * rate)]
        x, places = damaged(audio, rate, 18, np.random.default_rng([seed, number]))
        seconds += audio.shape[-1] / rate
        rows += [(path.stem, "music", terms(each)) for each in bursts(audio, rate)]
        there = bursts(x, rate)
        for kind, at in places:
            near = [each for each in there if abs(each.start - at) < 0.006 * rate]
            if kind != "dropout" and near:
                rows.append((path.stem, kind, terms(max(near, key=lambda each: each.height))))
    kinds, values = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    names = np.array([row[0] for row in rows])
    held = np.zeros(len(rows))
    for part in np.array_split(np.random.default_rng(seed).permutation(np.unique(names)), 4):
        out = np.isin(names, part)
        held[out] = _fitted(values[~out], kinds[~out] != "music").decision_function(values[out])
    model = _fitted(values, kinds != "music")
    music, allowed = model.decision_function(values[kinds == "music"]), round(seconds / 60)
    print(
        "constant", round(float(model.intercept_[0] - np.sort(music)[-allowed]), 2), "weights", model.coef_[0].round(2)
    )
    for minutes in (4, 2, 1, 0.5):
        edge = np.sort(held[kinds == "music"])[-max(1, round(seconds / 60 / minutes))]
        found = {kind: round(float((held[kinds == kind] > edge).mean()), 2) for kind in ("click", "skip")}
        print(f"one false alarm in {minutes:g} minutes: {found}")


def bursts(audio: np.ndarray, rate: int) -> list[Burst]:
    """All that are described, however faint."""
    found = Bursts(rate, faint=math.inf)
    found.add(rounded(audio))
    found.clicks(Samples(rounded(audio)))
    return found.found


def terms(burst: Burst) -> list[float]:
    return [burst.made, burst.alone, burst.noisy, burst.heard]


def _fitted(values: np.ndarray, faults: np.ndarray) -> Any:
    return LogisticRegression(max_iter=2000, class_weight="balanced").fit(values, faults)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", action="store_true", help="fit those of clicks")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    paths = files.below(given.folder)
    if given.weights:
        weights(paths, given.seed)
        return
    each = -(-given.faults // len(paths))
    rows = []
    for number, path in enumerate(paths):
        draws = np.random.default_rng([given.seed, number])
        recording = files.read(path)
        rate = recording.sample_rate
        start = max(0, (recording.samples.shape[-1] - round(SECONDS * rate)) // 2)
        audio = recording.samples[:, start : start + round(SECONDS * rate)]
        clean, silent = found(audio, rate), found(ended(audio, rate), rate)
        known = {(d.kind, d.start) for d in clean}
        x, places = damaged(audio, rate, each, draws)
        hits, wrong = matched(places, [d for d in found(x, rate) if (d.kind, d.start) not in known], rate)
        row: dict[str, Any] = {
            "name": path.stem,
            "seconds": round(audio.shape[-1] / rate, 1),
            "intact": dict(Counter(d.kind for d in clean)),
            "intact with silent ends": dict(Counter(d.kind for d in silent)),
            "faults": dict(Counter(kind for kind, _ in places)),
            "found": dict(hits),
            "invented": dict(wrong),
        }
        for kind in ("clipping", "dull"):
            defects = [d for d in found(whole(audio, rate, kind, draws), rate) if d.kind == kind]
            row[kind] = {"found": bool(defects), "intact": kind in row["intact"]}
        rows.append(row)
        print(json.dumps(row), flush=True)
    given.output.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print("| fault | there | found | recall | invented | precision |\n|---|---|---|---|---|---|")
    for kind in POINTS:
        there, hit, wrong = (sum(row[key].get(kind, 0) for row in rows) for key in ("faults", "found", "invented"))
        print(f"| {kind} | {there} | {hit} | {hit / max(1, there):.2f} | {wrong} | {hit / max(1, hit + wrong):.2f} |")
    for key in ("intact", "intact with silent ends"):
        print(
            f"{key}: "
            + ", ".join(f"{k} {sum(row[key].get(k, 0) for row in rows)}" for k in (*POINTS, "clipping", "dull"))
        )
    for kind in ("clipping", "dull"):
        fresh = [row for row in rows if not row[kind]["intact"]]
        print(f"{kind}: {sum(row[kind]['found'] for row in fresh)} of {len(fresh)} found")


if __name__ == "__main__":
    main()
