"""Calibration of posterior samples: whether they differ from each other as much as the truth differs from them.

    python -m benchmarks.calibration CLIPS --row mmps --row "mmps temperature=1.2" --count 5
    python -m benchmarks.calibration --table

CLIPS is a folder of clean recordings at 16 kHz, of which a second is lost (``gap`` of ``benchmarks.recorded``), or
another of its problems. In the frames and bands of the log-mel inside the damage: the ratio of spread and
error and the histogram of the truth's ranks (``diffmusic.metrics.calibration``); ``outside`` is its first and last
column together. Log-mel L1, nats: of the mean of all samples, of one sample on the average, of the medoid
(which ``solve --samples`` writes as its result), and of the best, which nobody can know; the
continuous ranked probability score, ``mean_n |M_n - M| - mean_(n < m) |M_n - M_m| / 2``, which is least for samples of
the true posterior; and the bias, by how much the samples are too loud. A clip and row is a line of
benchmarks/results/calibration.jsonl. Intervals are 95 %, of clips drawn again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.recorded import PROBLEMS, estimates, excerpts, inside, log_mel
from diffmusic.metrics.calibration import Calibration
from diffmusic.models.load import load_model
from diffmusic.tasks.prior_quality import flux

RESULTS = Path(__file__).parent / "results" / "calibration.jsonl"


def scores(problem: str, truth: np.ndarray, mels: list[np.ndarray]) -> dict[str, Any]:
    """Sums over the cells of a clip."""
    frames, bands = inside(problem)
    true, drawn = truth[frames][:, bands], np.stack([mel[frames][:, bands] for mel in mels])
    apart = np.abs(drawn[:, None] - drawn[None]).mean((2, 3)).sum(1)
    each = np.abs(drawn - true).mean((1, 2))
    return {
        **asdict(Calibration.of(true, drawn)),
        "of mean": float(np.abs(drawn.mean(0) - true).mean()),
        "one": float(each.mean()),
        "medoid": float(each[apart.argmin()]),
        "best": float(each.min()),
        "crps": float(each.mean() - apart.sum() / (2 * len(drawn) * (len(drawn) - 1))),
        "bias": float((drawn.mean(0) - true).mean()),
        "flux": float(np.mean([flux(mel) for mel in drawn])) / flux(true),
    }


def read() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def measure(chosen: argparse.Namespace) -> None:
    prior: Any = load_model(chosen.model)
    model = prior.describe()["sha256"][:12]
    known = {(line["clip"], line["problem"], line["row"], line["model"]) for line in read()}
    for clip, clean in excerpts(chosen.clips, chosen.count):
        for row in chosen.row:
            if (clip, chosen.problem, row, model) in known:
                continue
            cpu = time.process_time()
            mels, _ = estimates(row, chosen.problem, clean, prior, chosen.samples)
            line = {"clip": clip, "problem": chosen.problem, "row": row, "model": model, "samples": len(mels)}
            line |= scores(chosen.problem, log_mel(clean), mels) | {"cpu": round(time.process_time() - cpu, 1)}
            with RESULTS.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{clip}, {row}: ratio {total([line]).ratio:.3f}", flush=True)


def total(lines: Sequence[dict[str, Any]]) -> Calibration:
    return reduce(add, [Calibration(line["spread"], line["error"], tuple(line["ranks"])) for line in lines])


def table() -> str:
    """Means over the clips that all rows of a problem and model have."""
    groups: dict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
    for line in read():
        groups[line["problem"], line["model"]][line["row"]][line["clip"]] = line
    text = []
    for (problem, model), rows in groups.items():
        clips = sorted(set.intersection(*(set(found) for found in rows.values())))
        text += [f"{problem}, model {model}, {len(clips)} clips", "",
                 "| row | ratio | interval | outside | ranks | L1 of mean | one | medoid | best | CRPS | bias | flux |",
                 "|---|---|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
        again = np.random.default_rng(0).integers(0, len(clips), (2000, len(clips)))
        for row, found in rows.items() if clips else ():
            lines = [found[clip] for clip in clips]
            low, high = np.percentile([total([lines[n] for n in drawn]).ratio for drawn in again], (2.5, 97.5))
            of_all = total(lines)
            cells = [f"{of_all.ratio:.2f}", f"{low:.2f} to {high:.2f}", f"{of_all.outside:.2f}",
                     " ".join(f"{each:.2f}" for each in of_all.histogram)]  # fmt: skip
            cells += [
                f"{np.mean([x[key] for x in lines]):.3f}"
                for key in ("of mean", "one", "medoid", "best", "crps", "bias", "flux")
            ]
            text.append(f"| {row} | {' | '.join(cells)} |")
        text.append("")
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="?")
    parser.add_argument("--problem", choices=list(PROBLEMS), default="gap")
    parser.add_argument("--row", action="append", default=[])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--count", type=int, default=24, help="of the clips, spread evenly over the folder")
    parser.add_argument("--table", action="store_true", help="only print what was measured")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if not chosen.table:
        measure(chosen)
    print(table())


if __name__ == "__main__":
    main()
