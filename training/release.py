"""Write the trained parts into the package, in the diffusers folder layout.

    python -m training.release --work training/work

Weights are the EMA's, as float16. Every file is written beside its place and renamed, the hashes last, so
that no reader ever sees half a file.
"""

import argparse
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import torch
from diffusers import ModelMixin

import diffmusic
from diffmusic.backbones.istft_vocoder import ISTFTVocoder
from training import train_unet, train_vae
from training.data import EXCERPT_SECONDS, MEL

BUILDERS = {"vae": train_vae.build, "vocoder": ISTFTVocoder, "unet": train_unet.build}
FINAL = {"vae": "decoder"}  # the stage that continues another one, if it was run
TARGET = Path(diffmusic.__path__[0]) / "backbones" / "mini"


def model_index(stages: dict[str, dict]) -> dict:
    """The parts and their classes, the mel they share, and how each part was trained."""
    return {
        "_class_name": "DiffmusicMini",
        "version": 0,
        "vae": ["diffusers", "AutoencoderKL"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "vocoder": ["diffmusic.backbones.istft_vocoder", "ISTFTVocoder"],
        "excerpt_seconds": EXCERPT_SECONDS,
        "mel": {
            "sample_rate": MEL.sample_rate, "n_fft": MEL.n_fft, "hop": MEL.hop, "bands": MEL.bands,
            "low": MEL.low, "high": MEL.high, "floor": MEL.floor,
        },
        "training": stages,
    }  # fmt: skip


def load(work: Path, part: str) -> tuple[ModelMixin, dict[str, dict]]:
    """The EMA of a part's newest checkpoint, and how each of its stages was trained."""
    model, about = BUILDERS[part]().eval(), {}
    for stage in (part, FINAL.get(part, part)):
        if (path := work / f"{stage}.pt").exists():
            state = torch.load(path, map_location="cpu", weights_only=False)
            about[stage] = {"minutes_done": round(state["elapsed"] / 60, 1), "steps": state["step"], **state["about"]}
            model.load_state_dict(state["ema"])
    return model, about


def write(work: Path, folder: Path) -> None:
    """Write the whole model into a folder."""
    stages: dict[str, dict] = {}
    for part in BUILDERS:
        model, about = load(work, part)
        stages |= about
        if part == "vae":
            model.register_to_config(**json.loads((work / "latents.json").read_text()))
        model.half().save_pretrained(folder / part)
    train_unet.schedule().save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(model_index(stages), indent=2) + "\n")
    weights = sorted(folder.glob("*/*.safetensors"))
    hashes = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in weights}
    (folder / "hashes.json").write_text(json.dumps(hashes, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/work"))
    parser.add_argument("--target", type=Path, default=TARGET)
    chosen = parser.parse_args()
    chosen.target.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=chosen.target.parent, prefix=".mini-"))
    try:
        write(chosen.work, fresh)
        files = [path for path in fresh.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path.name == "hashes.json"):
            place = chosen.target / path.relative_to(fresh)
            place.parent.mkdir(exist_ok=True)
            os.replace(path, place)
            place.chmod(0o644)
            print(f"{place.stat().st_size:>10,} bytes  {place}")
    finally:
        shutil.rmtree(fresh)


if __name__ == "__main__":
    main()
