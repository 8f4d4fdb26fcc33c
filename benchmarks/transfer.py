"""Solvers, priors and numbers of levels against each other: do settings found on one prior hold on another?

    python -m benchmarks.transfer CLIPS --model mini --model FOLDER --row mmps --row diffmusic --levels 12,25,50,100
    python -m benchmarks.transfer --table

CLIPS is a folder of clean recordings at 16 kHz, of which ``--count`` are used; one second in the middle of 5.12 s is
lost, as in ``benchmarks.recorded``. Models are names or folders; mini 2 comes out of the history:

    git archive 102eeee~1 diffmusic/backbones/mini | tar -x --strip-components=3 -C mini2

A row is a solver with its parameters. Every cell, a clip through a row at a number of levels, is a line of
benchmarks/results/transfer.jsonl as soon as it is done; what is there is not measured again, so that a run that was
stopped goes on.

Columns: log-mel L1 inside of the gap, nats, of one sample and of the mean of all; flux over the truth's; rank: the part
of frames and bands where the truth lies below or above all N samples, over the ``2 / (N + 1)`` that it would be if it
were one more sample (1 is honest, more is too narrow or off). ``failed`` counts clips whose estimate blew up or was
doubted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.recorded import EXCERPT, RATE, excerpts, log_mel, operator_of, scores, straight
from diffmusic.errors import DiffmusicError
from diffmusic.models.components import load_component
from diffmusic.models.load import load_model
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings

RESULTS = Path(__file__).parent / "results" / "transfer.jsonl"


def cell(row: str, steps: int, clean: np.ndarray, prior: Any, samples: int) -> dict[str, Any]:
    """One clip through one solver: its scores, or what went wrong."""
    operator, solver = operator_of("gap"), load_component("solver", row)
    measured = operator.forward(torch.from_numpy(clean)[None, None])[0].numpy()
    started = time.process_time()
    try:
        result = restore(measured, RATE, operator, solver, prior, RestoreSettings(steps=steps, samples=samples))
    except DiffmusicError as error:
        return {"error": str(error)}
    mels = [log_mel(audio[0][:EXCERPT]) for audio in result.audio]
    found = {key: round(value, 4) for key, value in scores("gap", log_mel(clean), mels).items()}
    return found | {"cpu": round((time.process_time() - started) / samples, 2), "error": "; ".join(result.doubts)}


def measure(chosen: argparse.Namespace) -> None:
    priors = {model: load_model(model) for model in chosen.model}
    known = {(line["clip"], line["row"], line["levels"], line["sha256"]) for line in read()}
    for clip, clean in excerpts(chosen.clips, chosen.count):
        line_score = scores("gap", log_mel(clean), [straight("gap", log_mel(clean))])["one"]
        for steps in chosen.levels:
            for row in chosen.row:
                for model, prior in priors.items():
                    weights = prior.describe()["sha256"][:12]
                    if (clip, row, steps, weights) in known:
                        continue
                    line = {
                        "clip": clip,
                        "row": row,
                        "levels": steps,
                        "model": Path(model).name,
                        "sha256": weights,
                    }
                    line |= {"samples": chosen.samples, "straight": round(line_score, 4)}
                    line |= cell(row, steps, clean, prior, chosen.samples)
                    with RESULTS.open("a") as file:
                        file.write(json.dumps(line) + "\n")
                    print(line, flush=True)


def read() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def table() -> str:
    """Means over the clips of each cell; levels of one row are compared on the clips that they share."""
    groups: dict[tuple[str, str], dict[int, dict[str, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for line in read():
        groups[line["row"], line["model"]][line["levels"]][line["clip"]] = line
    lines = ["| solver | prior | levels | clips | one | mean | straight line | flux | rank | CPU s a sample | failed |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for (row, model), by_levels in sorted(groups.items()):
        for levels, found in sorted(by_levels.items()):
            sound = [line for line in found.values() if "one" in line]
            several = [line for line in sound if line["samples"] > 1]
            failed = sum(bool(line["error"]) for line in found.values())
            cells = [_mean([line["one"] for line in sound]), _mean([line["mean"] for line in several])]
            cells += [_mean([line[key] for line in sound]) for key in ("straight", "flux")]
            cells.append(_mean([line["outside"] * (line["samples"] + 1) / 2 for line in several]))
            cells += [_mean([line["cpu"] for line in sound]), str(failed)]
            lines.append(f"| `{row}` | {model} | {levels} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(values: list[float]) -> str:
    return f"{np.mean(values):.3f}" if values else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="?")
    parser.add_argument("--row", action="append", default=[])
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument(
        "--levels", type=lambda text: [int(word) for word in text.split(",")], default=[12, 25, 50, 100]
    )
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--count", type=int, default=4, help="of the clips, spread evenly over the folder")
    parser.add_argument("--table", action="store_true", help="only print what was measured")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if not chosen.table:
        measure(chosen)
    print(table())


if __name__ == "__main__":
    main()
