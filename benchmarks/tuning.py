"""The step size of each solver, from clips of the validation split: as many tries for every one.

    python -m benchmarks.tuning --work training/work --clips 5 --shard 0/5 --name tuning
    python -m benchmarks.tuning --name tuning --report

Each solver has five values of the one parameter that its results hang on, a factor of about two apart, at twenty-five
passes through the decoder. Each problem starts from another clip, so that the first shard of five hears five. The
score is the geometric mean over five problems of the LSD of the raw estimate, in the damaged part where a problem has
one: finishing is the same for all solvers and would hide them. The best value of each is what `benchmarks.problems`
compares, and the default where it is better by more than the clips differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.problems import Case, measured, parser, run

GRID = {
    "dps steps=25": ("zeta", (0.06, 0.12, 0.25, 0.5, 1.0)),
    "dps-jacobian-free steps=25": ("zeta", (0.06, 0.12, 0.25, 0.5, 1.0)),
    "dsg steps=25": ("rate", (0.05, 0.1, 0.2, 0.4, 0.8)),
    "mpgd steps=25": ("zeta", (0.06, 0.12, 0.25, 0.5, 1.0)),
    "diffmusic steps=25 repeats=1": ("rate", (0.35, 0.75, 1.5, 3.0, 6.0)),
    "daps steps=8 corrections=3": ("rate", (0.2, 0.4, 0.75, 1.5, 3.0)),
    "reencode steps=25 repeats=1": ("iterations", (1, 2, 4, 8, 16)),
}


def rows(case: Case) -> Sequence[str]:
    """Every try, whatever the problem."""
    return [f"{solver} {name}={value}" for solver, (name, values) in GRID.items() for value in values]


def report(lines: Sequence[dict[str, Any]]) -> str:
    """A Markdown table of the scores, one line a try, the best of each solver in bold."""
    cells: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        if line["row"] != "truth":
            raw = line["raw"]
            cells[line["row"]][line["problem"]].append(raw["lsd"] if raw["part"] is None else raw["part"])
    problems = sorted({line["problem"] for line in lines})
    text = [f"| solver | {' | '.join(problems)} | score | clips |", "|" + "---|" * (len(problems) + 3)]
    for solver, (name, values) in GRID.items():
        tries = {row: cells[row] for row in (f"{solver} {name}={value}" for value in values) if row in cells}
        means = {row: [float(np.mean(each[p])) if each[p] else np.nan for p in problems] for row, each in tries.items()}
        scores = {row: float(np.exp(np.mean(np.log(each)))) for row, each in means.items()}
        best = min(scores, key=lambda row: scores[row], default=None)
        for row, score in scores.items():
            shown = f"**{score:.3f}**" if row == best else f"{score:.3f}"
            count = min(len(values) for values in tries[row].values())
            text.append(f"| {row} | {' | '.join(f'{value:.3f}' for value in means[row])} | {shown} | {count} |")
    return "\n".join(text)


def main() -> None:
    chosen = parser(__doc__).parse_args()
    if chosen.report:
        print(report(measured(chosen.name)))
    else:
        run(chosen, "validation", rows, rotate=True)


if __name__ == "__main__":
    main()
