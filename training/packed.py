"""The folder of `training.pack` on the machine that trains from it: wheels made importable, log-mels unpacked."""

import json
import lzma
import sys
import zipfile
from pathlib import Path

import numpy as np

from training.mels import BANDS


def mini() -> Path:
    """Return the folder of the prior in the package."""
    from diffmusic.backbones.musicldm import MINI

    return MINI


def install(folder: Path) -> None:
    """Make the wheels of a packed folder importable, after what is installed."""
    site = folder / "site"
    if not site.exists():
        for wheel in sorted((folder / "wheels").glob("*.whl")):
            zipfile.ZipFile(wheel).extractall(site)
    sys.path.append(str(site))


def compress(codes: np.ndarray) -> bytes:
    """Return codes (frames, bands) uint8 as xz of their differences along time, band after band."""
    steps = np.diff(codes, axis=0, prepend=np.zeros((1, codes.shape[1]), np.uint8))
    return lzma.compress(np.ascontiguousarray(steps.T).tobytes(), preset=6)


def decompress(data: bytes) -> np.ndarray:
    """Return what `compress` was given; differences wrap around, as sums do."""
    steps = np.frombuffer(lzma.decompress(data), np.uint8).reshape(BANDS, -1)
    return np.ascontiguousarray(np.cumsum(steps, axis=1, dtype=np.uint8).T)


def unpack(folder: Path, work: Path) -> Path:
    """Write the log-mels of a packed folder as a store that `training.mels` reads, and return it."""
    store = work / "mels"
    store.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in (folder / "sources.jsonl").read_text().splitlines()]
    with (store / "mels.u8").open("wb") as file:
        for shard in sorted((folder / "mels").glob("*.xz")):
            decompress(shard.read_bytes()).tofile(file)
    text = np.load(folder / "text.npy")[[row["text"] for row in rows]]
    np.save(store / "text.npy", text)
    for name in ("text_empty.npy", "about.json", "sources.jsonl"):
        (store / name).write_bytes((folder / name).read_bytes())
    return store
