"""What the parts of the model weigh, and how they were trained."""

import json
from pathlib import Path

from safetensors import safe_open

from diffmusic.backbones.musicldm import MusicLDM
from training.release import STAGES
from training.tables import Table


def tables(backbone: MusicLDM, work: Path) -> list[Table]:
    about = json.loads((backbone.folder / "model_index.json").read_text())["training"]
    rows, total, weight = [], 0, 0
    for path in sorted(backbone.folder.glob("*/*.safetensors")):
        part = path.parent.name
        with safe_open(path, "pt") as file:
            count = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
        total, weight = total + count, weight + path.stat().st_size
        trained = [(stage, about[stage]) for stage in STAGES[part] if stage in about]
        said = "; ".join(f"{n}: {s['minutes_done']:.0f} min, {s['steps']:,} steps of {s['batch']}" for n, s in trained)
        rows.append([f"`{part}`", f"{count / 1e6:.2f} M", f"{path.stat().st_size / 1e6:.2f} MB", said])
    rows.append(["in all", f"{total / 1e6:.2f} M", f"{weight / 1e6:.2f} MB", ""])
    return [Table("Parts", ["part", "parameters", "file (fp16)", "training"], rows)]
