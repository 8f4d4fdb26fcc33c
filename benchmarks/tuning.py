"""Which step size is best for each solver, by what the suite tuning.yaml has measured.

    diffmusic bench benchmarks/tuning.yaml -o tuning
    python -m benchmarks.tuning tuning/results.jsonl

Each solver has five values of the one parameter that its results hang on, at twenty-five passes through the decoder.
The score is the geometric mean over the problems of the LSD of the raw estimate, in the damaged part where a problem
has one: finishing is the same for all solvers and would hide them. The best value of each is what problems.yaml
compares, and the default where it is better by more than the clips differ.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def report(lines: Sequence[dict[str, Any]]) -> str:
    """A Markdown table of the scores, one line a try, the best of each solver in bold. A row is called by its solver
    with its parameters, of which the last one is tried."""
    cells: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        if line.get("raw") is not None:
            raw = line["raw"]
            part = raw.get("part")
            cells[line["row"]][line["problem"]].append(raw["lsd"] if part is None else part)
    problems = sorted({line["problem"] for line in lines})
    text = [f"| solver | {' | '.join(problems)} | score | clips |", "|" + "---|" * (len(problems) + 3)]
    for solver in dict.fromkeys(row.rpartition(" ")[0] for row in cells):
        tries = {row: cells[row] for row in cells if row.rpartition(" ")[0] == solver}
        means = {row: [float(np.mean(each[p])) if each[p] else np.nan for p in problems] for row, each in tries.items()}
        scores = {row: float(np.exp(np.mean(np.log(each)))) for row, each in means.items()}
        best = min(scores, key=lambda row: scores[row])
        for row, score in scores.items():
            shown = f"**{score:.3f}**" if row == best else f"{score:.3f}"
            count = min(len(values) for values in tries[row].values())
            text.append(f"| {row} | {' | '.join(f'{value:.3f}' for value in means[row])} | {shown} | {count} |")
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=Path(__file__).parent / "results" / "tuning.jsonl")
    results = parser.parse_args().results
    print(report([json.loads(line) for line in results.read_text().splitlines()]))


if __name__ == "__main__":
    main()
