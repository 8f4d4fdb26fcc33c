"""Measure a released model on the held-out test split and print the Markdown tables of its card.

    python -m training.evaluate --work training/work                    every table, about two hours on two cores
    python -m training.evaluate --work training/work --only roundtrip samples

Each table is kept in WORK/evaluation.json as soon as it is measured, and all that are there are printed. The
gaps are measured by ``python -m benchmarks.inpainting``.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch

from diffmusic.backbones.musicldm import MusicLDM
from diffmusic.models.load import load_model
from training import evaluate_levels, evaluate_roundtrip, evaluate_samples, evaluate_sizes
from training.release import TARGET
from training.tables import Table, markdown

TABLES: dict[str, Callable[[MusicLDM, Path], list[Table]]] = {
    "sizes": evaluate_sizes.tables,
    "roundtrip": evaluate_roundtrip.tables,
    "levels": evaluate_levels.tables,
    "samples": evaluate_samples.tables,
    "steering": evaluate_samples.steering,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("training/work"))
    parser.add_argument("--model", type=Path, default=TARGET)
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    backbone = load_model(str(chosen.model))
    assert isinstance(backbone, MusicLDM)
    path = chosen.work / "evaluation.json"
    for name in chosen.only:
        with torch.no_grad():
            made = TABLES[name](backbone, chosen.work)
        # Read again each time: another process may have measured its part meanwhile.
        kept = json.loads(path.read_text()) if path.exists() else {}
        kept[name] = [table.as_dict() for table in made]
        path.write_text(json.dumps(kept, indent=1) + "\n")
        print("\n".join(markdown(table) for table in made), flush=True)


if __name__ == "__main__":
    main()
