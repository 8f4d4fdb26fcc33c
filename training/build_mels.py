"""Build the store of log-mels that VAE and UNet learn from, of recordings and of rendered corpora.

    python -m training.build_mels --work training/work

Writes ``WORK/mels`` (see `training.mels`). Training recordings are there at three speeds. Started again, it adds what
is new.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from diffmusic.audio.mel import LogMel
from training.captions import captions
from training.data import MEL
from training.embed_captions import embed, released, write
from training.mels import Row, quantise

SPEEDS = (1.0, 16 / 15, 15 / 16)
CAPTIONS = 8


def log_mel_codes(path: Path, speed: float = 1.0) -> np.ndarray:
    """Return the quantised log-mel of a sound file at a speed."""
    audio, rate = soundfile.read(path, dtype="float32")
    if rate != MEL.sample_rate or audio.ndim != 1:
        raise ValueError(f"{path}: expected {MEL.sample_rate} Hz mono, found {rate} Hz {audio.shape}")
    if speed != 1.0:
        audio = soxr.resample(audio, rate * speed, rate)
    audio = audio[: len(audio) // (4 * MEL.hop) * 4 * MEL.hop]
    return quantise(LogMel(MEL)(torch.from_numpy(audio)[None])[0].numpy())


def sources(work: Path) -> Iterator[tuple[Path, Row, list[str]]]:
    """Yield every sound file of the recordings and of the rendered corpora, with its row and its captions."""
    for line in (work / "recordings" / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        path = work / "recordings" / row["split"] / f"{row['id']}.flac"
        said = [row["style"]] if row.get("style") else []
        about = {"source": row["id"], "kind": "recorded", "group": row["group"], "split": row["split"]}
        for speed in SPEEDS if row["split"] == "train" else (1.0,):
            yield path, {**about, "speed": speed}, said
    for folder in sorted(work.glob("bank_*")):
        for line in (folder / "corpus" / "manifest.jsonl").read_text().splitlines():
            row = json.loads(line)
            about = {"source": f"{folder.name}/{row['clip']}", "kind": "rendered", "group": folder.name}
            about |= {"split": row["split"], "speed": 1.0}
            yield folder / "corpus" / row["clip"], about, captions(row, CAPTIONS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/work"))
    work = parser.parse_args().work
    folder = work / "mels"
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    index = folder / "sources.jsonl"
    rows = [json.loads(line) for line in index.read_text().splitlines()] if index.exists() else []
    known = {(row["source"], row["speed"]) for row in rows}
    at = sum(row["frames"] for row in rows)
    encoder = released()
    vectors = list(np.load(folder / "text.npy")) if rows else []
    with (folder / "mels.u8").open("ab") as raw:
        raw.truncate(at * MEL.bands)  # what an interrupted run left
        for path, row, words in sources(work):
            if (row["source"], row["speed"]) in known:
                continue
            codes = log_mel_codes(path, row["speed"])
            codes.tofile(raw)
            rows.append({**row, "start": at, "frames": len(codes), "captions": len(words)})
            text = np.zeros((CAPTIONS, 128), np.float16)
            if words:
                text[: len(words)] = embed(*encoder, words)
            vectors.append(text)
            at += len(codes)
    write(folder / "text.npy", np.stack(vectors))
    write(folder / "text_empty.npy", embed(*encoder, [""])[0])
    temporary = index.with_suffix(".tmp")
    temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
    temporary.replace(index)
    hours: dict[str, float] = {}
    for row in rows:
        key = f"{row['split']} {row['group']} x{row['speed']:.3f}"
        hours[key] = hours.get(key, 0.0) + row["frames"] / MEL.frame_rate / 3600
    for key, value in sorted(hours.items()):
        print(f"{value:6.2f} h  {key}")


if __name__ == "__main__":
    main()
