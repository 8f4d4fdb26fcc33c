"""Write the parts that were trained into the package, in the diffusers folder layout.

    python -m training.release --work training/work
    python -m training.release --work training/work --decay 0.9998

A part with a checkpoint in WORK is written anew; the others, and their history, stay those of the package. Weights are
the EMA's, as float16. Every file is written beside its place and renamed, the hashes last, so that no reader ever sees
half a file.
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
from training.latents import scaling_factor
from training.mels import Mels

VERSION = 3
LICENCE = "CC-BY-SA-4.0"
BUILDERS: dict[str, Any] = {"vae": train_vae.build, "vocoder": ISTFTVocoder, "unet": train_unet.build}
# The stages that made each part; a later one continues the one before it, if it was run. Those named "gpu" were run
# apart, before the stages of this folder could be run on a packed corpus.
PACKED = "unet_packed"  # of a folder of training.pack
STAGES = {"vae": ("vae", "decoder", "vae_gpu"), "vocoder": ("vocoder", "adversarial"),
          "unet": ("unet_gpu", "unet", PACKED),
          "text_encoder": ("clap",)}  # fmt: skip
FOLDERS = ("vae", "vocoder", "unet", "text_encoder", "tokenizer", "feature_extractor", "scheduler")
TARGET = Path(diffmusic.__path__[0]) / "backbones" / "mini"
NOT_HASHED = ("README.md", "CREDITS.md", "LICENSE", "hashes.json")


def model_index(stages: dict[str, dict]) -> dict:
    """The parts and their classes, the mel they share, the licence, and how each part was trained."""
    return {
        "_class_name": "DiffmusicMini",
        "version": VERSION,
        "license": LICENCE,
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
    """The stages of a part that were run, each with its checkpoint, or with what a packed training wrote."""
    if part == "unet" and (path := work / "model" / "training.json").exists():
        unet = type(train_unet.build()).from_pretrained(work / "model" / "unet", torch_dtype=torch.float32)
        yield PACKED, json.loads(path.read_text()) | {"ema": unet.state_dict()}
    for stage in STAGES[part]:
        if (path := work / f"{stage}.pt").exists():
            yield stage, torch.load(path, map_location="cpu", weights_only=False)


def average(state: dict, decay: float | None) -> dict:
    """The EMA of a checkpoint, or the one of another decay."""
    if decay is None or decay == state["about"]["ema_decay"]:
        return state["ema"]
    return state["emas"][decay]


def history(package: dict, part: str, done: dict[str, dict]) -> dict[str, dict]:
    """The stages that made a part: those of the package that the first new one went on from, and the new ones."""
    old = {stage: package[stage] for stage in STAGES[part] if stage in package}
    afresh = done and not next(iter(done.values())).get("trained")
    return ({} if afresh else {stage: about for stage, about in old.items() if stage not in done}) | done


def write(work: Path, folder: Path, package: Path, decay: float | None = None) -> None:
    """Write the whole model into a folder: what WORK has, and the package's parts for the rest."""
    for name in FOLDERS:
        shutil.copytree(package / name, folder / name)
    before = json.loads((package / "model_index.json").read_text())["training"]
    stages: dict[str, dict] = {}
    for part in STAGES:
        done, model = {}, None
        for stage, state in checkpoints(work, part):
            done[stage] = {"minutes_done": round(state["elapsed"] / 60, 1), "steps": state["step"], **state["about"]}
            if "core_seconds" in state:
                done[stage]["core_hours"] = round(state["core_seconds"] / 3600, 2)
            if part == "text_encoder":
                train_clap.save(train_clap.load(work), work, folder)
                continue
            model = model or BUILDERS[part]().eval()
            model.load_state_dict(average(state, decay if part == "unet" else None))
            if part == "unet":
                done[stage]["ema_decay"] = decay or state["about"]["ema_decay"]
        if model is not None:
            if part == "vae":
                model.register_to_config(scaling_factor=scaling_factor(model, Mels(work / "mels")))
            shutil.rmtree(folder / part)
            model.half().save_pretrained(folder / part)
        stages |= history(before, part, done)
    train_unet.schedule().save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(model_index(stages), indent=2) + "\n")
    credits_file = work / "recordings" / "CREDITS.md"
    shutil.copy(credits_file if credits_file.exists() else package / "CREDITS.md", folder / "CREDITS.md")
    shutil.copy(package / "LICENSE", folder / "LICENSE")
    made = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in NOT_HASHED)
    hashes = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in made}
    (folder / "hashes.json").write_text(json.dumps(hashes, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("training/work"))
    parser.add_argument("--target", type=Path, default=TARGET)
    parser.add_argument("--decay", type=float, help="which of the UNet's averages, of those in its checkpoint")
    chosen = parser.parse_args()
    chosen.target.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=chosen.target.parent, prefix=".mini-"))
    try:
        write(chosen.work, fresh, TARGET, chosen.decay)
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
