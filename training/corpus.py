"""The corpus of the mini prior: 12 s clips of rendered music, 16 kHz mono.

    python -m training.corpus --work training/work/bank_fluidr3 --hours 4.5 --seed 0 --jobs 2
    python -m training.corpus --work training/work/bank_musescore --bank musescore --hours 4.5 --seed 1 --jobs 2

writes WORK/corpus/{train,validation,test}/PIECE-K.flac and WORK/corpus/manifest.jsonl, one row a clip.
Started again, it skips the pieces that are in the manifest; with more hours it goes on from there. About 60 %
are composed by `training.compose`, 40 % are scores that music21 brings along. Clips of the training split go through
random effects (`training.effects`). It needs the Debian packages fluidsynth and those of the bank (`training.banks`).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import soundfile

from training import effects
from training.banks import BANKS, FLUIDR3, Bank
from training.compose import compose
from training.instruments import label
from training.piece import DRUMS, NOTE_NAMES, Piece, split_of
from training.render import RENDER_RATE, Arrangement, arrange, mixdown, synthesize
from training.scores import catalogue

RATE = 16000
CLIP_SECONDS = 12
CLIPS_A_PIECE = 3
LOUDNESS = (-30.0, -14.0)
SILENCE = -50.0  # dBFS
SHARES = {"composed": 0.6, "music21": 0.4}
BATCH = 8
Row = dict[str, Any]
Report = Callable[[float], None]


def level(samples: np.ndarray) -> float:
    """RMS level in dBFS."""
    return 20 * float(np.log10(np.sqrt(np.mean(samples**2)) + 1e-9))


def arranged(piece: Piece) -> tuple[Arrangement, float]:
    """A piece's arrangement, and its loudness in dBFS; both follow from the piece and its name."""
    random = Random(f"render {piece.name}")
    return arrange(piece, CLIPS_A_PIECE * CLIP_SECONDS, random), random.uniform(*LOUDNESS)


def cut(sound: np.ndarray, k: int) -> np.ndarray:
    """The k-th clip of a piece's sound at RATE."""
    return sound[k * RATE * CLIP_SECONDS : (k + 1) * RATE * CLIP_SECONDS]


def render_piece(piece: Piece, folder: Path, bank: Bank = FLUIDR3) -> list[Row]:
    """Render one piece, write its clips, and return their rows."""
    arrangement, loudness = arranged(piece)
    if not arrangement.piece.voices:
        return []
    stereo, chain = synthesize(arrangement, bank=bank), effects.Effects()
    if split_of(piece.identity) == "train":
        random = Random(f"effects {piece.name}")
        chain = effects.draw(random, arrangement.room is not None)
        stereo = chain(stereo, RENDER_RATE, random.randrange(2**32))
    sound = mixdown(stereo, RATE, loudness)
    rows, kit = [], bank.kit(piece.name)
    for k in range(min(CLIPS_A_PIECE, len(sound) // (RATE * CLIP_SECONDS))):
        clip = cut(sound, k)
        if level(clip) > SILENCE:
            row = describe(arrangement, k, clip) | {"bank": bank.name, "effects": asdict(chain)}
            row |= {"kit": kit and kit.stem, "wet": row["wet"] or chain.room is not None}
            soundfile.write(folder / row["clip"], clip, RATE, subtype="PCM_16")
            rows.append(row)
    return rows


def onsets(arrangement: Arrangement, k: int) -> list[int]:
    """How many notes of each voice begin in the k-th clip."""
    beats = CLIP_SECONDS * arrangement.tempo / 60
    voices = arrangement.piece.voices
    return [sum(k * beats <= note.start < (k + 1) * beats for note in voice.notes) for voice in voices]


def describe(arrangement: Arrangement, k: int, clip: np.ndarray) -> Row:
    """The manifest's row of a piece's k-th clip."""
    piece, split = arrangement.piece, split_of(arrangement.piece.identity)
    roles = [voice.role for voice in piece.voices]
    heard = list(zip(roles, arrangement.programs, onsets(arrangement, k), strict=True))
    programs = {
        (program, role == DRUMS): {"program": program, "name": label(program, role), "role": role}
        for role, program, notes in heard
        if notes
    }
    return {
        "clip": f"{split}/{piece.name}-{k}.flac",
        "split": split,
        "piece": piece.name,
        "source": piece.source,
        "seconds": CLIP_SECONDS,
        "start": k * CLIP_SECONDS,
        "tempo": arrangement.tempo,
        "meter": f"{piece.meter}/4" if piece.source.startswith("composed") else None,
        "key": NOTE_NAMES[piece.tonic],
        "mode": piece.mode,
        "programs": list(programs.values()),
        "drums": any(role == DRUMS and notes for role, _, notes in heard),
        "wet": arrangement.room is not None,
        "density": round(sum(notes for _, _, notes in heard) / CLIP_SECONDS, 2),
        "loudness": round(level(clip), 1),
    }


def endless(source: str, work: Path, seed: int, pool: Any) -> Iterator[Piece]:
    """Pieces of a source without end, in an order that the seed fixes.

    Scores come in a random order, again and again; each time a new arrangement in the same split.
    """
    if source == "composed":
        yield from (compose(1_000_000 * seed + number) for number in itertools.count())
    scores = scores_of(work, pool)
    # By hash and not by shuffling, so that a score more or less moves no other.
    order = sorted(scores, key=lambda score: hashlib.sha256(f"{seed} {score.identity}".encode()).digest())
    for take in itertools.count():
        yield from (replace(score, name=f"{score.name}-s{seed}t{take}") for score in order)


def scores_of(work: Path, pool: Any) -> list[Piece]:
    """The scores that music21 brings along; prints how many files stay out, and why."""
    scores, excluded = catalogue(work / "scores", pool.imap)
    print(f"{len(scores)} music21 scores; left out:", flush=True)
    for reason, count in excluded.most_common():
        print(f"  {count:5d} {reason}", flush=True)
    return scores


def fill(
    pieces: Iterator[Piece], hours: float, rows: list[Row], folder: Path, pool: Any, report: Report, bank: Bank
) -> None:
    """Render pieces, batch by batch, until the clips of these rows and the new ones last `hours`."""
    done = {row["piece"] for row in rows}
    seconds = sum(row["seconds"] for row in rows)
    while seconds < 3600 * hours:
        batch = [piece for piece in itertools.islice(pieces, BATCH) if piece.name not in done]
        for new in pool.imap(partial(render_piece, folder=folder, bank=bank), batch):
            seconds += sum(row["seconds"] for row in new)
            with (folder / "manifest.jsonl").open("a") as manifest:
                manifest.write("".join(json.dumps(row) + "\n" for row in new))
        report(seconds)


def read_manifest(folder: Path) -> list[Row]:
    """The rows written so far."""
    path = folder / "manifest.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> int:
    """Make the corpus; 2 if something has to be installed first."""
    parser = argparse.ArgumentParser(description="Render the corpus of the mini prior.")
    parser.add_argument("--work", type=Path, default=Path("training/work"), help="folder of what is made")
    parser.add_argument("--hours", type=float, default=4.5, help="hours of audio in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="pieces rendered at a time")
    parser.add_argument("--bank", choices=BANKS, default=FLUIDR3.name, help="the sounds it is played with")
    args = parser.parse_args()
    bank = BANKS[args.bank]
    if problem := bank.missing():
        print(problem, file=sys.stderr)
        return 2

    folder, began = args.work / "corpus", time.monotonic()
    for split in ("train", "validation", "test"):
        (folder / split).mkdir(parents=True, exist_ok=True)
    rows = read_manifest(folder)
    with multiprocessing.Pool(args.jobs) as pool:
        for source, share in SHARES.items():
            pieces = endless(source, args.work, args.seed, pool)

            def report(seconds: float, source: str = source, share: float = share) -> None:
                took, goal = time.monotonic() - began, share * args.hours
                print(f"{took:6.0f} s  {source}: {seconds / 3600:.2f} of {goal:.2f} h", flush=True)

            old = [row for row in rows if row["source"].startswith(source)]
            fill(pieces, share * args.hours, old, folder, pool, report, bank)

    hours: Counter[tuple[str, str]] = Counter()
    for row in read_manifest(folder):
        hours[row["split"], row["source"].split(":")[0]] += row["seconds"] / 3600
    for (split, source), value in sorted(hours.items()):
        print(f"{split:10s} {source:8s} {value:.2f} h")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
