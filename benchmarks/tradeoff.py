"""Draw what more steps and repeats buy, from the rows that ``benchmarks.inpainting --name tradeoff`` measured.

python -m benchmarks.tradeoff
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results" / "tradeoff.json"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "tradeoff.png"
MEASURES = {"mel_l1": "log-mel L1 in the gap, nats", "octaves_db": "octaves off by, dB", "flux_ratio": "flux ratio"}


def main() -> None:
    ((gap, rows),) = json.loads(RESULTS.read_text())["gaps"].items()
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axis, (measure, title) in zip(figure.subplots(1, 3), MEASURES.items(), strict=True):
        for name, row in rows.items():
            if found := re.fullmatch(r"diffmusic steps=(\d+) repeats=(\d+)", name):
                axis.plot(row["seconds"], row[measure], "o", color="tab:blue")
                axis.annotate(f"{found[1]} x {found[2]}", (row["seconds"], row[measure]), fontsize=8)
        if "linear in log-mel" in rows and measure == "mel_l1":
            axis.axhline(rows["linear in log-mel"][measure], color="gray", linestyle=":", label="linear in log-mel")
            axis.legend(fontsize=8)
        axis.set(xlabel="seconds a solve, one core", title=title)
        axis.grid(alpha=0.3)
    figure.suptitle(f"steps x repeats, a gap of {gap} s, validation clips", fontsize=10)
    figure.savefig(PICTURE, dpi=100)
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
