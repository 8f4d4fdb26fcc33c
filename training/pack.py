"""Pack what the UNet's training needs into a small folder, for a machine that has torch, numpy and safetensors.

    python -m training.pack --work training/work --out packed
    cd packed && python -m training.train_unet --packed . --work run --minutes 11 --device cuda --compile \
        --batch 256 --rate 1e-3 --hold 0.5

The folder holds log-mels (coarse steps of 0.3 nats, differences along time, xz), the text embeddings of their captions,
this code, the frozen VAE, the UNet to begin with (its average in WORK/unet.pt, or else the package's), and diffusers
with what it imports as wheels. Log-mels are packed and not latents: they are as small, take gains and equalisation, and
the encoder is cheap. An hour takes 5.3 MB, so that some three hours find room beside the 41 MB of the rest. Passages of
20 s are taken in the shares of `training.mels.shares` until the folder is full; no
file is above 16 MiB.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import numpy as np
import torch
from packaging.requirements import Requirement

from training import train_unet
from training.latents import frozen_vae
from training.mels import EXCERPT_FRAMES, FLOOR, Mels, Row, Sampler, quantise, shares
from training.packed import compress, mini

CODE = ("__init__", "latents", "loop", "mels", "packed", "parallel", "train_unet")
# What the machine has, and a downloader that nothing imports at the start.
NOT_PACKED = {"torch", "numpy", "safetensors", "hf-xet"}
PASSAGE = 2048  # frames
SHARD = 400  # passages


def needed(name: str, found: dict[str, str] | None = None) -> dict[str, str]:
    """Return a distribution and what it requires, with the versions that are installed here."""
    found = {} if found is None else found
    found[name] = version(name)
    for line in requires(name) or ():
        requirement = Requirement(line)
        other = requirement.name.lower().replace("_", "-")
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and other not in found and other not in NOT_PACKED:
            needed(other, found)
    return found


def passages(mels: Mels, count: int, seed: int = 0) -> list[tuple[int, int]]:
    """Return random passages (source, start) of the training split at its own speed, none twice, by group's share."""
    generator = torch.Generator().manual_seed(seed)
    drawn, seen = [], set()
    sampler = Sampler(mels, shares(mels.rows), EXCERPT_FRAMES)
    for k, index in enumerate(sampler.sources):
        if mels.rows[index]["speed"] != 1.0:
            sampler.weights[k] = 0.0
    for pick in torch.multinomial(sampler.weights, 50 * count, replacement=True, generator=generator).tolist():
        index = sampler.sources[pick]
        slots = max(1, mels.rows[index]["frames"] // PASSAGE)
        slot = int(torch.randint(slots, (), generator=generator))
        if (index, slot) not in seen:
            seen.add((index, slot))
            drawn.append((index, slot * PASSAGE))
        if len(drawn) == count:
            break
    return drawn


def cut(mels: Mels, index: int, start: int, length: int, step: float) -> np.ndarray:
    """Return a passage in coarse steps, (frames, bands) uint8."""
    stop = min(start + length, mels.rows[index]["frames"])
    return quantise(mels.read(index, start, stop - start).numpy(), step)


def pack_mels(mels: Mels, out: Path, budget: float, step: float) -> None:
    """Write shards of passages, and their rows, until they take `budget` bytes or there are no more."""
    rows: list[Row] = []
    used: dict[int, int] = {}
    at = size = 0

    def add(pieces: list[tuple[int, int, int]], name: str) -> int:
        nonlocal at
        parts = [cut(mels, index, start, length, step) for index, start, length in pieces]
        for (index, _, _), part in zip(pieces, parts, strict=True):
            row = {key: mels.rows[index][key] for key in ("source", "kind", "group", "split", "speed", "captions")}
            rows.append({**row, "start": at, "frames": len(part), "text": used.setdefault(index, len(used))})
            at += len(part)
        data = compress(np.concatenate(parts))
        (out / "mels" / f"{name}.xz").write_bytes(data)
        return len(data)

    held_out: list[tuple[int, int, int]] = []
    for kind in ("recorded", "rendered"):
        for index, start in mels.places(kind, "validation", train_unet.HELD_OUT, EXCERPT_FRAMES):
            held_out.append((index, start, EXCERPT_FRAMES))
    size = add(held_out, "000")
    train = passages(mels, 4000)
    per_passage = size / len(held_out) * PASSAGE / EXCERPT_FRAMES
    for number, first in enumerate(range(0, len(train), SHARD), start=1):
        # What is left decides how many passages the last shard has.
        count = min(SHARD, int((budget - size) / per_passage))
        if count < 1:
            break
        took = add([(index, start, PASSAGE) for index, start in train[first : first + count]], f"{number:03d}")
        size, per_passage = size + took, took / len(train[first : first + count])
        print(f"{at / 360000:.2f} h, {size / 1e6:.1f} MB", flush=True)
    (out / "sources.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    np.save(out / "text.npy", mels.text.numpy()[list(used)])
    np.save(out / "text_empty.npy", mels.empty.half().numpy())
    (out / "about.json").write_text(json.dumps({"step": step, "floor": FLOOR}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("training/work"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--megabytes", type=float, default=59.0, help="of the whole folder")
    parser.add_argument("--step", type=float, default=0.3, help="of the log-mels, nats")
    parser.add_argument("--decay", type=float, help="which of the UNet's averages in WORK/unet.pt")
    parser.add_argument("--wheels", type=Path, help="folder of wheels; default: download them with pip")
    chosen = parser.parse_args()
    out = chosen.out
    shutil.rmtree(out, ignore_errors=True)
    for name in ("mels", "training", "wheels"):
        (out / name).mkdir(parents=True)
    for name in CODE:
        shutil.copy(Path(__file__).with_name(f"{name}.py"), out / "training")
    if chosen.wheels:
        for wheel in chosen.wheels.glob("*.whl"):
            shutil.copy(wheel, out / "wheels")
    else:
        pinned = [f"{name}=={number}" for name, number in needed("diffusers").items()]
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(out / "wheels"), *pinned]
        subprocess.run(command, check=True)
    frozen_vae(mini()).half().save_pretrained(out / "model" / "vae")
    unet = train_unet.build()
    if (chosen.work / "unet.pt").exists():
        from training.release import average

        state = torch.load(chosen.work / "unet.pt", map_location="cpu", weights_only=False)
        unet.load_state_dict(average(state, chosen.decay))
    else:
        unet = type(unet).from_pretrained(mini() / "unet", torch_dtype=torch.float32)
    unet.half().save_pretrained(out / "model" / "unet", max_shard_size="12MB")
    taken = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    pack_mels(Mels(chosen.work / "mels"), out, 1e6 * chosen.megabytes - taken - 2e5, chosen.step)
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    print(f"{sum(sizes) / 1e6:.1f} MB in {len(sizes)} files, the largest {max(sizes) / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
