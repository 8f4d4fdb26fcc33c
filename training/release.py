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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import diffmusic
from diffmusic.backbones.istft_vocoder import ISTFTVocoder
from training import train_clap, train_unet, train_vae
from training.data import EXCERPT_SECONDS, MEL

BUILDERS: dict[str, Any] = {"vae": train_vae.build, "vocoder": ISTFTVocoder, "unet": train_unet.build}
# The stages that made each part; a later one continues the one before it, if it was run.
STAGES = {"vae": ("vae", "decoder"), "vocoder": ("vocoder", "adversarial"), "unet": ("unet",),
          "text_encoder": ("clap",)}  # fmt: skip
TARGET = Path(diffmusic.__path__[0]) / "backbones" / "mini"


def model_index(stages: dict[str, dict]) -> dict:
    """The parts and their classes, the mel they share, and how each part was trained."""
    return {
        "_class_name": "DiffmusicMini",
        "version": 2,
        "vae": ["diffusers", "AutoencoderKL"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "ClapModel"],
        "tokenizer": ["transformers", "RobertaTokenizer"],
        "feature_extractor": ["transformers", "ClapFeatureExtractor"],
        "vocoder": ["diffmusic.backbones.istft_vocoder", "ISTFTVocoder"],
        "excerpt_seconds": EXCERPT_SECONDS,
        "mel": {
            "sample_rate": MEL.sample_rate, "n_fft": MEL.n_fft, "hop": MEL.hop, "bands": MEL.bands,
            "low": MEL.low, "high": MEL.high, "floor": MEL.floor,
        },
        "training": stages,
    }  # fmt: skip


def checkpoints(work: Path, part: str) -> Iterator[tuple[str, dict]]:
    """The stages of a part that were run, each with its checkpoint."""
    for stage in STAGES[part]:
        if (path := work / f"{stage}.pt").exists():
            yield stage, torch.load(path, map_location="cpu", weights_only=False)


def write(work: Path, folder: Path) -> None:
    """Write the whole model into a folder."""
    about = {}
    for part in STAGES:
        model = BUILDERS[part]().eval() if part in BUILDERS else train_clap.load(work)
        for stage, state in checkpoints(work, part):
            about[stage] = {"minutes_done": round(state["elapsed"] / 60, 1), "steps": state["step"], **state["about"]}
            if part in BUILDERS:
                model.load_state_dict(state["ema"])
        if part == "text_encoder":
            train_clap.save(model, work, folder)
            continue
        if part == "vae":
            model.register_to_config(**json.loads((work / "latents.json").read_text()))
        model.half().save_pretrained(folder / part)
    train_unet.schedule().save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(model_index(about), indent=2) + "\n")
    made = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in made}
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
