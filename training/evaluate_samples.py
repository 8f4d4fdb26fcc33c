"""Free samples: how near their set comes to music, and whether they do what the caption says."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffmusic.backbones.musicldm import MusicLDM
from diffmusic.metrics.clap import Clap
from diffmusic.metrics.fad import frechet_distance
from diffmusic.tasks.settings import RESTORE_GUIDANCE
from training import train_clap
from training.captions import captions
from training.data import EXCERPT_SECONDS, MEL
from training.sampling import sample
from training.tables import Table, embed, excerpts
from training.train_clap import rows_of

LENGTH = round(EXCERPT_SECONDS * MEL.sample_rate)
PAIRS = (
    ("piano", "violin"), ("flute", "trumpet"), ("church organ", "nylon guitar"), ("harpsichord", "cello"),
    ("vibraphone", "choir"), ("marimba", "string ensemble"), ("music box", "tuba"), ("accordion", "harp"),
    ("clarinet", "distorted guitar"), ("steel drums", "french horn"),
)  # fmt: skip


def tables(backbone: MusicLDM, work: Path, count: int = 32) -> list[Table]:
    """FAD against the training split and CLAP scores of samples; retrieval of captions by the CLAP itself."""
    clap, rows = Clap.load(backbone.folder), rows_of(work, "test")
    chosen = [rows[k] for k in np.linspace(0, len(rows) - 1, count).round().astype(int)]
    said = [captions(row, 1)[0] for row in chosen]
    length = 5 * MEL.sample_rate  # one window of the CLAP: every row has as many embeddings
    training = embed(clap, excerpts(work, "train", 1200)[:, :length])
    music = excerpts(work, "test", count)[:, :length]
    noise = 0.1 * torch.randn(count, length, generator=torch.Generator().manual_seed(0))
    sets = {
        "test split": embed(clap, music),
        "samples without caption": embed(clap, sample(backbone, [""] * count, LENGTH)[:, :length]),
        "samples of captions": embed(clap, sample(backbone, said, LENGTH)[:, :length]),
        f"samples of captions, guidance {RESTORE_GUIDANCE:g}": embed(
            clap, sample(backbone, said, LENGTH, guidance=RESTORE_GUIDANCE)[:, :length]
        ),
        "white noise": embed(clap, noise),
    }
    true = [captions(row, 1)[0] for row in rows]
    text = clap.text(said)
    other = np.roll(text, count // 2, axis=0)
    scored = [
        [
            name,
            f"{frechet_distance(training, vectors):.3f}",
            *((f"{_score(vectors, text):.3f}", f"{_score(vectors, other):.3f}") if "captions" in name else ("", "")),
        ]
        for name, vectors in sets.items()
    ]
    head = ["", "FAD to the training split", "CLAP score of its caption", "of another caption"]
    about = f"{count} samples of 50 steps (DDIM) or excerpts; embeddings and score by the CLAP that conditions the UNet"
    return [Table(about, head, scored), _retrieval(clap, work, true, [row["piece"] for row in rows])]


def _score(audio: np.ndarray, text: np.ndarray) -> float:
    return float((audio * text).sum(-1).mean())


def _retrieval(clap: Clap, work: Path, texts: list[str], pieces: list[str]) -> Table:
    """The rank of the first clip of the same piece (clips of a piece share their captions)."""
    audio = embed(clap, _middles(work))
    similarity, of = clap.text(texts) @ audio.T, np.array(pieces)
    order = np.argsort(-similarity, axis=1)
    rank = (of[order] == of[:, None]).argmax(1)
    generator = np.random.default_rng(0)
    chance = np.array([(of[generator.permutation(len(of))] == piece).argmax() for piece in of])
    rows = [
        [name, *(f"{(place < k).mean():.2f}" for k in (1, 10))]
        for name, place in (("captions", rank), ("in random order", chance))
    ]
    return Table(f"Retrieval of {len(of)} test clips by a caption, a clip of the piece is right",
                 ["", "at 1", "at 10"], rows)  # fmt: skip


def _middles(work: Path) -> Tensor:
    from training.data import split, to_float

    start, length = 56_000, 5 * MEL.sample_rate
    return to_float(split(work, "test")[:, start : start + length])


def steering(backbone: MusicLDM, work: Path, draws: int = 4) -> list[Table]:
    """Pairs of instruments: the same noise under either caption, and which of the two a CLAP hears in the result.

    A pair counts if the mean over the draws of ``cos(x, a) - cos(x, b)`` is positive for samples of ``a`` and negative
    for those of ``b``. The judge is a CLAP of another seed, which the UNet has never seen.
    """
    judges = {"the CLAP that conditions": Clap.load(backbone.folder)}
    if (work / "judge.pt").exists():
        folder = work / "judge"
        folder.mkdir(exist_ok=True)
        train_clap.save(train_clap.load(work, "judge"), work, folder)
        judges["a CLAP trained apart"] = Clap.load(folder)
    rows, passed = [], dict.fromkeys(judges, 0)
    for pair in PAIRS:
        made = [
            sample(backbone, [f"music with {instrument}"] * draws, LENGTH, steps=40, guidance=RESTORE_GUIDANCE, seed=1)
            for instrument in pair
        ]
        cells = []
        for name, judge in judges.items():
            a, b = judge.text([f"the sound of {instrument}" for instrument in pair])
            first, second = (float((embed(judge, audio) @ (a - b)).mean()) for audio in made)
            passed[name] += first > 0 > second
            cells.append(f"{first:+.2f} / {second:+.2f}")
        rows.append([f"{pair[0]} / {pair[1]}", *cells])
    rows.append(["pairs steered", *(f"{count} of {len(PAIRS)}" for count in passed.values())])
    how = f"{draws} draws a caption, guidance {RESTORE_GUIDANCE:g}"
    about = f"Which of two instruments is heard ({how}): first minus second"
    return [Table(about, ["caption's instrument", *judges], rows)]
