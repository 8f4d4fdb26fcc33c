"""Swaps of instruments on held-out clips: how near the target, how far from the source, at each strength.

    python -m benchmarks.edits --work training/work --clips 10 --name edits

The axes are those of figure 8 of arXiv:2402.10009: the CLAP score of the result against the caption of the target
(higher is better) and LPAPS to the source (lower is better). Each clip, 5.12 s of one or two instruments without drums,
has its leading instrument swapped for one of another family; the captions of source and target differ in that alone.
Beside the editors stand the clip itself and its round trip through encoder and decoder, which no edit is nearer than.
The CLAP is the prior's own unless ``--clap`` names the folder of another; the prior was trained to please its own.
``--shard 0/2`` and ``--shard 1/2`` share the clips between two processes; ``--merge`` joins what they wrote.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffmusic.jobs import record
from diffmusic.metrics.clap import Clap
from diffmusic.metrics.lpaps import lpaps
from diffmusic.models.load import load_model
from diffmusic.parameters import build
from diffmusic.plugins import registry
from diffmusic.prior import Costs
from diffmusic.tasks.edit import edit
from diffmusic.tasks.encoded_recording import EncodedRecording
from diffmusic.tasks.settings import EditSettings
from training.captions import DRUMS, ROLES, WORDS, article, listing
from training.data import split, to_float

RATE, EXCERPT, START = 16000, 81920, 48000
TARGETS = ("flute", "harpsichord", "violin", "church organ", "acoustic guitar", "trumpet", "choir", "marimba",
           "banjo", "clarinet")  # fmt: skip
SOLVERS = ("ddpm-inversion", "sdedit", "ddim-inversion", "flow-edit")


@dataclass(frozen=True)
class Swap:
    """A clip, what it is, and what it is to become."""

    clip: str
    audio: np.ndarray
    source: str
    target: str


def swaps(work: Path, name: str, count: int) -> list[Swap]:
    """Clips spread over a split, one a piece."""
    lines = (work / "corpus" / "manifest.jsonl").read_text().splitlines()
    rows = sorted((row for row in map(json.loads, lines) if row["split"] == name), key=lambda row: row["clip"])
    clips, chosen, pieces = split(work, name), [], set[str]()
    for number, row in enumerate(rows):
        pitched = sorted(_pitched(row), key=lambda entry: ROLES.index(entry["role"]))
        if not row["drums"] and 1 <= len({entry["program"] for entry in pitched}) <= 2 and row["piece"] not in pieces:
            pieces.add(row["piece"])
            chosen.append((number, row["clip"], list(dict.fromkeys(WORDS[each["program"]][0] for each in pitched))))
    made: list[Swap] = []
    for index in np.linspace(0, len(chosen) - 1, min(count, len(chosen))).round().astype(int):
        number, clip, words = chosen[index]
        target = next(word for word in (*TARGETS[len(made) % 10 :], *TARGETS) if word not in words)
        before, after = (listing([article(word) for word in each]) for each in (words, [target, *words[1:]]))
        audio = to_float(clips[number][START : START + EXCERPT]).double().numpy()[None]
        made.append(Swap(clip, audio, before, after))
    return made


def _pitched(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in row["programs"] if entry["role"] != DRUMS]


def scores(clap: Clap, swap: Swap, audio: np.ndarray) -> dict[str, float]:
    """Of one result: near the target, near the source's caption, and its distance from the source."""
    return {
        "clap_target": clap.score(audio, RATE, swap.target),
        "clap_source": clap.score(audio, RATE, swap.source),
        "lpaps": lpaps(clap, swap.audio, audio, RATE),
        "lpaps_tokens": lpaps(clap, swap.audio, audio, RATE, "tokens"),
    }


def measure(
    prior: Any, clap: Clap, given: Sequence[Swap], solvers: Sequence[str], strengths: Sequence[float], steps: int,
    guidance: float, source_guidance: float,
) -> dict[str, dict[str, list[dict[str, float]]]]:  # fmt: skip
    """Scores of every clip, by row and strength. A row is a solver with parameters, ``"ddpm-inversion order=2"``."""
    table: dict[str, dict[str, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for done, swap in enumerate(given, 1):
        table["the clip itself"]["0"].append(scores(clap, swap, swap.audio))
        round_trip = EncodedRecording.of(swap.audio, RATE, prior, Costs()).round_trip()
        table["its round trip"]["0"].append(scores(clap, swap, round_trip))
        for row in solvers:
            name, *words = row.split()
            editor = build(registry().load("solver", name), dict(word.split("=", 1) for word in words), name)
            for strength in strengths:
                started = time.perf_counter()
                result = edit(
                    swap.audio,
                    RATE,
                    editor,
                    prior,
                    EditSettings(
                        source=swap.source,
                        targets=(swap.target,),
                        strength=strength,
                        steps=steps,
                        guidance=guidance,
                        source_guidance=source_guidance,
                    ),
                )
                spent = {"seconds": time.perf_counter() - started, "network": float(result.costs.network_forward)}
                table[row][f"{strength:g}"].append(scores(clap, swap, result.audio[0]) | spent)
        print(f"{done} of {len(given)} clips: {swap.clip}, {swap.source} -> {swap.target}", flush=True)
    return table


def summary(table: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> list[dict[str, Any]]:
    """Means over the clips, with the standard error of each."""
    rows = []
    for name, strengths in table.items():
        for strength, clips in strengths.items():
            row: dict[str, Any] = {"row": name, "strength": float(strength)}
            for key in clips[0]:
                values = np.array([each[key] for each in clips])
                row[key] = float(values.mean())
                row[f"{key}_se"] = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
            rows.append(row)
    return rows


def advantage(rows: Sequence[Mapping[str, Any]], one: str, other: str) -> float:
    """By how much the CLAP score of one method exceeds another's at equal LPAPS: the mean over the LPAPS that both
    curves reach; NaN where they share none."""

    def curve(name: str) -> np.ndarray:
        return np.array(sorted((row["lpaps"], row["clap_target"]) for row in rows if row["row"] == name)).reshape(-1, 2)

    a, b = curve(one), curve(other)
    if not len(a) or not len(b):
        return float("nan")
    low, high = max(a[0, 0], b[0, 0]), min(a[-1, 0], b[-1, 0])
    if low >= high:
        return float("nan")
    grid = np.linspace(low, high, 50)
    return float(np.mean(np.interp(grid, *a.T) - np.interp(grid, *b.T)))


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| row | strength | CLAP to target | LPAPS to source | CLAP to source caption | network | seconds |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        cells = [f"{row[key]:.3f} ± {row[f'{key}_se']:.3f}" for key in ("clap_target", "lpaps")]
        cells += [f"{row['clap_source']:.3f}", f"{row.get('network', 0):.0f}", f"{row.get('seconds', 0):.1f}"]
        lines.append(f"| {row['row']} | {row['strength']:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The curves of figure 8: up and to the left is better."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axis = figure.subplots()
    for name in dict.fromkeys(row["row"] for row in rows):
        points = [row for row in rows if row["row"] == name]
        x, y = ([row[key] for row in points] for key in ("lpaps", "clap_target"))
        across, up = ([row[f"{key}_se"] for row in points] for key in ("lpaps", "clap_target"))
        axis.errorbar(x, y, up, across, marker="o", markersize=4, linewidth=1, elinewidth=0.4, label=name)
        for row in points[:: max(1, len(points) - 1)] if len(points) > 1 else []:
            axis.annotate(f"{row['strength']:g}", (row["lpaps"], row["clap_target"]), fontsize=8)
    axis.set_xlabel("LPAPS to the source (lower: nearer)")
    axis.set_ylabel("CLAP score of the target (higher: nearer)")
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def finish(document: dict[str, Any], path: Path) -> None:
    """Print the table, and keep means and picture."""
    rows = summary(document["clips"])
    print(f"\n{markdown(rows)}\n")
    gains = {f"{a} over {b}": advantage(rows, a, b) for a in document["solvers"] for b in document["solvers"] if a != b}
    print("\n".join(f"CLAP at equal LPAPS, {pair}: {gain:+.3f}" for pair, gain in gains.items()))
    path.write_text(record.dump({key: document[key] for key in ("settings", "model", "versions", "swaps")}
                                | {"rows": rows, "advantage": gains}))  # fmt: skip
    picture(rows, path.with_suffix(".png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--source-guidance", type=float, default=3.0)
    parser.add_argument("--strength", type=float, nargs="+", default=[0.5, 1.0, 2.0, 4.0, 8.0])
    parser.add_argument("--row", action="append", default=[])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--clap", type=Path)
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--merge", action="store_true", help="only join the shards of NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--name", required=True, help="write benchmarks/results/NAME.json and .png")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    path = Path(__file__).parent / "results" / f"{chosen.name}.json"
    shard, shards = (int(part) for part in chosen.shard.split("/"))
    if chosen.merge:
        merge(path)
        return
    prior: Any = load_model(chosen.model)
    clap = Clap.load(chosen.clap or prior.folder)
    given = swaps(chosen.work, chosen.split, chosen.clips)[shard::shards]
    rows = chosen.row or SOLVERS
    document: dict[str, Any] = {
        "settings": {key: str(value) for key, value in vars(chosen).items() if key not in ("work", "merge", "shard")},
        "solvers": list(rows), "model": prior.describe(), "versions": record.versions(),
        "swaps": [[each.clip, each.source, each.target] for each in given],
        "clips": measure(prior, clap, given, rows, chosen.strength, chosen.steps, chosen.guidance,
                         chosen.source_guidance),
    }  # fmt: skip
    if shards > 1:
        path.with_name(f"{chosen.name}.{shard}.json").write_text(record.dump(document))
    else:
        finish(document, path)


def merge(path: Path) -> None:
    """Join NAME.0.json, NAME.1.json, ... into NAME.json."""
    paths = sorted(path.parent.glob(f"{path.stem}.[0-9]*.json"))
    whole, *others = [json.loads(each.read_text()) for each in paths]
    for other in others:
        whole["swaps"] += other["swaps"]
        for row, strengths in whole["clips"].items():
            for strength, clips in strengths.items():
                clips += other["clips"][row][strength]
    finish(whole, path)
    for each in paths:
        each.unlink()


if __name__ == "__main__":
    main()
