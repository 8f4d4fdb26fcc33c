"""The fusion window: five pairs of held-out clips, fused at levels from the original to the reference.

    python -m benchmarks.fusion --work training/work --split test --pairs 5 --name fusion
    python -m benchmarks.fusion --name fusion --report            only the table and the picture of what is measured

For each pair the reference is learnt by its caption; then the original is put in at every level, with ``--seeds`` draws
of the noise. Likeness is that of ``diffmusic.metrics.likeness``, to the round trips of original and reference: the
cosine of the small CLAP's embeddings, and the log-mel difference in nats. A pair and a way of fusing it (``--row``:
parameters of the solver, such as "reset=true" or "injected=diffused order=1") is one line of
benchmarks/results/NAME.jsonl, written when it is done: a run that was cut off goes on where it stopped.

``trend`` is Spearman's rank correlation between the level and the mean over draws, for each pair: 1 where likeness to
the reference rises from every level to the next, -1 where likeness to the original falls.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from diffmusic.metrics.likeness import likeness
from diffmusic.models.load import load_model
from diffmusic.prior import Costs
from diffmusic.prior.levels import sweep
from diffmusic.tasks.adapter import Adapter
from diffmusic.tasks.encoded_recording import EncodedRecording
from diffmusic.tasks.fuse import WINDOW, fuse, learn
from diffmusic.tasks.loading import load_editor
from diffmusic.tasks.settings import FuseSettings, LearnSettings
from training.captions import captions

RATE, LENGTH = 16000, 81920
RESULTS = Path(__file__).parent / "results"
PICTURES = Path(__file__).parents[1] / "docs" / "images"
MEASURES = {
    "clap_original": "CLAP to original",
    "clap_reference": "CLAP to reference",
    "mel_original": "log-mel from original, nats",
    "mel_reference": "log-mel from reference, nats",
}
RISES = {"clap_original": -1, "clap_reference": 1, "mel_original": 1, "mel_reference": -1}


def pairs(work: Path, split: str, count: int) -> list[tuple[str, str, str]]:
    """(original, reference, the reference's caption), different pieces spread over a split."""
    rows = [json.loads(line) for line in (work / "corpus" / "manifest.jsonl").read_text().splitlines()]
    pieces = {row["piece"]: row for row in reversed(rows) if row["split"] == split}
    chosen = [pieces[name] for name in sorted(pieces)]
    chosen = [chosen[index] for index in np.linspace(0, len(chosen) - 1, 2 * count).round().astype(int)]
    # Neighbours in the alphabet are often of one composer: pair the first half with the second.
    return [(a["clip"], b["clip"], captions(b, 1)[0]) for a, b in zip(chosen[:count], chosen[count:], strict=True)]


def read(work: Path, clip: str) -> np.ndarray:
    audio: np.ndarray = soundfile.read(work / "corpus" / clip, always_2d=True)[0].T[:, :LENGTH]
    return audio * 0.1 / max(float(np.sqrt(np.mean(np.square(audio)))), 1e-9)


def scores(x: np.ndarray, original: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    first, second = (likeness(x, RATE, each, RATE) for each in (original, reference))
    return dict(zip(MEASURES, (first.clap, second.clap, first.log_mel, second.log_mel), strict=True))


def cell(
    pair: tuple[str, str, str], row: str, prior: Any, adapter: Adapter, levels: Sequence[float], chosen: Any
) -> dict[str, Any]:
    """One pair fused one way at every level: 0 is the original's round trip, inf what the prompt leads to."""
    given = dict(word.split("=", 1) for word in row.split())
    guidance, steps = float(given.pop("guidance", FuseSettings.guidance)), int(given.pop("steps", chosen.steps))
    original, reference = (read(chosen.work, clip) for clip in pair[:2])
    trips = [EncodedRecording.of(x, RATE, prior, Costs()).round_trip() for x in (original, reference)]
    ways = [0.0, *levels, float("inf")]
    editors = [load_editor("fusion", {**given, "level": level}) for level in ways]
    last = editors[-1:]
    settings = FuseSettings(pair[2], guidance=guidance, steps=steps)
    measured: list[list[dict[str, float]]] = [[] for _ in ways]
    untuned, started = [], time.perf_counter()
    for seed in range(chosen.seeds):
        drawn = replace(settings, seed=seed)
        made = fuse(original, RATE, editors, prior, drawn, adapter=adapter, levels=levels).audio
        for place, x in zip(measured, made, strict=True):
            place.append(scores(x, *trips))
        plain = fuse(original, RATE, last, prior, drawn, levels=levels).audio[0]
        untuned.append(scores(plain, *trips))
    return {
        "levels": [*levels],
        "measured": measured,
        "untuned": untuned,
        "seconds": round(time.perf_counter() - started, 1),
        "losses": adapter.losses,
    }


def curves(line: dict[str, Any]) -> dict[str, np.ndarray]:
    """Means over the draws of every measure, from level 0 over all levels to the prompt alone."""
    return {name: np.array([np.mean([d[name] for d in draws]) for draws in line["measured"]]) for name in MEASURES}


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Markdown: for each row the means over pairs, the trends, and the reference before and after it was learnt."""
    text = []
    for row in dict.fromkeys(line["row"] for line in lines):
        own = [line for line in lines if line["row"] == row]
        text += [f"### {row or 'defaults'} ({len(own)} pairs)", "", f"| level | {' | '.join(MEASURES.values())} |"]
        text.append("|---|" + "---|" * len(MEASURES))
        means = {name: np.mean([curves(line)[name] for line in own], axis=0) for name in MEASURES}
        names = ["0: the original", *(f"{level:.3g}" for level in own[0]["levels"]), "the prompt alone"]
        for index, name in enumerate(names):
            text.append(f"| {name} | " + " | ".join(f"{means[each][index]:.3f}" for each in MEASURES) + " |")
        plain = [np.mean([draw[each] for line in own for draw in line["untuned"]]) for each in MEASURES]
        text.append("| the prompt alone, not learnt | " + " | ".join(f"{value:.3f}" for value in plain) + " |")
        trends = {name: [spearmanr(range(len(names)), curves(line)[name])[0] for line in own] for name in MEASURES}
        shown = " | ".join(f"{np.mean(trends[name]):.2f} ({min(t * RISES[name] for t in trends[name]):.2f})"
                           for name in MEASURES)  # fmt: skip
        text += [f"| trend (the worst pair, 1 is best) | {shown} |", ""]
    return "\n".join(text)


def picture(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Every pair a thin line, their mean a thick one, for each measure; the first row that was measured."""
    own = [line for line in lines if line["row"] == lines[0]["row"]]
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    levels = own[0]["levels"]
    ratio = levels[1] / levels[0]
    places = [levels[0] / ratio, *levels, levels[-1] * ratio]
    for axis, kind in zip(figure.subplots(1, 2), ("clap", "mel"), strict=True):
        for side, color in (("original", "tab:blue"), ("reference", "tab:orange")):
            several = [curves(line)[f"{kind}_{side}"] for line in own]
            for each in several:
                axis.plot(places, each, color=color, linewidth=0.6, alpha=0.5)
            axis.plot(places, np.mean(several, axis=0), "o-", color=color, label=side)
        axis.set_xscale("log")
        axis.set_xticks(places, ["0", *(f"{level:.2g}" for level in levels), "inf"])
        axis.minorticks_off()
        axis.set(xlabel="noise level at which the original is put in, sigma")
        axis.set_title("CLAP cosine to" if kind == "clap" else "log-mel difference from, nats", fontsize=10)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("training/work"))
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of pairs, from 0; by default all")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--row", dest="rows", action="append", help="parameters of the fusion; repeat it for several")
    parser.add_argument("--levels", type=int, default=8, help="levels across the window")
    parser.add_argument("--window", type=float, nargs=2, default=WINDOW)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--learning", type=int, default=300, help="steps of learning the reference")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--name", required=True)
    parser.add_argument("--report", action="store_true")
    chosen = parser.parse_args()
    path = RESULTS / f"{chosen.name}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    if not chosen.report:
        torch.set_num_threads(chosen.threads)
        prior: Any = load_model(chosen.model)
        levels = sweep(tuple(chosen.window), chosen.levels)
        done = {(line["original"], line["reference"], line["row"]) for line in lines}
        for number, pair in enumerate(pairs(chosen.work, chosen.split, chosen.pairs)):
            rows = [row for row in chosen.rows or [""] if (*pair[:2], row) not in done]
            if not rows or number not in (chosen.only or [number]):
                continue
            started = time.perf_counter()
            adapter = learn(read(chosen.work, pair[1]), RATE, prior, pair[2], LearnSettings(steps=chosen.learning))
            learning = round(time.perf_counter() - started, 1)
            for row in rows:
                line = {"original": pair[0], "reference": pair[1], "prompt": pair[2], "row": row, "learning": learning}
                line |= {"model": prior.describe()["sha256"][:12], **cell(pair, row, prior, adapter, levels, chosen)}
                with path.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                lines.append(line)
                print(f"{row or 'defaults'}  {pair[0]} with {pair[1]}  {learning} + {line['seconds']} s", flush=True)
    if lines:
        print(table(lines))
        picture(lines, PICTURES / f"{chosen.name}.png")


if __name__ == "__main__":
    main()
