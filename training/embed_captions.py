"""The text embeddings that the UNet learns to follow: those of 16 captions a clip, and of no text.

python -m training.embed_captions --work training/work

writes WORK/text_{train,validation,test}.npy, (clips, 16, 128) float16 unit vectors in the order of
`training.data.split`, and WORK/text_empty.npy, (128,), the embedding of the empty string.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from transformers import ClapModel

from training.captions import captions
from training.train_clap import DIMENSIONS, embed_text, load, rows_of, tokenize, tokenizer

CAPTIONS = 16


def embed(model: ClapModel, work: Path, texts: list[str], batch: int = 512) -> np.ndarray:
    """Unit vectors, (texts, 128) float16."""
    words = tokenizer(work)
    parts = [embed_text(model, *tokenize(words, texts[k : k + batch])) for k in range(0, len(texts), batch)]
    return torch.cat(parts).half().numpy()


def write(path: Path, array: np.ndarray) -> None:
    """Save through a temporary file, so that a reader never sees half of one."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.save(file, array)
    os.replace(temporary, path)
    print(f"{path}  {array.shape}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/work"))
    work = parser.parse_args().work
    torch.set_num_threads(1)
    model = load(work)
    for name in ("train", "validation", "test"):
        texts = [text for row in rows_of(work, name) for text in captions(row, CAPTIONS)]
        write(work / f"text_{name}.npy", embed(model, work, texts).reshape(-1, CAPTIONS, DIMENSIONS))
    write(work / "text_empty.npy", embed(model, work, [""])[0])


if __name__ == "__main__":
    main()
