"""Broken files and nonsense as input: what each is answered with.

    python -m benchmarks.fuzz --cases 300

Audio files of every kind that can be written here with wrong bytes, cut off, or with headers that claim too much;
run records, suites and lists of gaps with values of the wrong kind; lines of components at random. A case is answered
well if it is read or refused in one line (InputError), in ten seconds and without more memory than ten times what the
intact file takes. Prints a table, and every case that was not; they are the same for the same --seed.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

import diffmusic
from diffmusic.bench import suite
from diffmusic.errors import InputError
from diffmusic.jobs import gaps, record
from diffmusic.jobs.restore import RestoreJob

RATE, SECONDS = 8000, 1
LONGEST = 10.0
"""Seconds in which a case has to be answered."""
MOST = 50
"""Times the intact file's samples that a broken one may be read as."""
KINDS = {
    "wav": "WAV", "flac": "FLAC", "ogg": "OGG", "aiff": "AIFF", "mp3": "MP3", "caf": "CAF", "w64": "W64",
    "rf64": "RF64", "au": "AU",
}  # fmt: skip
CLAIMS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\0\0\0\x80")
VALUES: tuple[Any, ...] = (None, True, -1, 0, 1e308, "", "x", "1:0", [], [1, [2]], {}, {"a": None}, "é\n", [None])
Case = tuple[str, Callable[[], Any]]


def intact(kind: str) -> bytes:
    """A second of stereo, with tags where the format has them."""
    out, time_axis = io.BytesIO(), np.arange(RATE * SECONDS) / RATE
    with soundfile.SoundFile(out, "w", RATE, 2, format=KINDS[kind]) as file:
        if kind not in ("caf", "w64", "au"):
            file.title, file.artist = "A title", "An artist"
        file.write(0.3 * np.sin(2 * np.pi * 220 * time_axis)[:, None].repeat(2, 1))
    return out.getvalue()


def broken(data: bytes, chance: random.Random) -> bytes:
    """The bytes of a file with something wrong, most of it in its head."""
    made, head = bytearray(data), min(len(data) - 8, 120)
    match chance.randrange(5):
        case 0:
            for _ in range(chance.randint(1, 8)):
                made[chance.randrange(head)] = chance.randrange(256)
        case 1:
            del made[chance.randrange(1, min(len(made), 400)) :]
        case 2:
            place = chance.randrange(head)
            made[place : place + 4] = chance.choice(CLAIMS)
        case 3:
            first = chance.randrange(len(made) // 2)
            last = first + chance.randrange(2, 64)
            made[first:last] = made[first:last][::-1]
        case _:
            made = bytearray(chance.randbytes(chance.randint(1, 200)))
    return bytes(made)


def twisted(value: Any, chance: random.Random) -> Any:
    """Plain values with one of them gone or of another kind."""
    if isinstance(value, dict) and value:
        key = chance.choice(sorted(value))
        rest = {name: each for name, each in value.items() if name != key}
        return rest if chance.random() < 0.2 else {**rest, key: twisted(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.7:
        place = chance.randrange(len(value))
        return [*value[:place], twisted(value[place], chance), *value[place + 1 :]]
    return chance.choice(VALUES)


def audio(chance: random.Random, folder: Path, count: int) -> Iterator[Case]:
    originals = {kind: intact(kind) for kind in KINDS}
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        path = folder / f"{number}.{kind}"
        path.write_bytes(broken(originals[kind], chance))

        def read(path: Path = path) -> None:
            found, _ = diffmusic.read(path)
            assert found.size <= MOST * 2 * RATE * SECONDS, f"{found.shape} samples of {path.stat().st_size} bytes"

        yield f"audio .{kind}", read


def documents(chance: random.Random, folder: Path, count: int) -> Iterator[Case]:
    job = {"job": {"operator": "inpainting", "operator_parameters": {"gap": [[1, 2]]}, "solver": "interpolate",
                   "solver_parameters": {"order": 8}, "model": "mini", "seed": 1, "steps": 3, "prompt": ["a harp"]},
           "diffmusic": "0.1.0", "command": "solve", "inputs": [{"path": "a.wav", "sha256": "0"}]}  # fmt: skip
    plan = {"title": "A table", "dataset": "folder path=.", "clips": {"count": 2, "seconds": 1, "rate": 16000},
            "problems": ["inpainting gap=0.4:0.6", {"operator": "reverb decay=0.1", "solvers": ["wiener"]}],
            "solvers": ["dps steps=2", {"solver": "diffmusic steps=2"}], "metrics": ["lsd"]}  # fmt: skip
    for number in range(count):
        path = folder / f"document{number}"
        match number % 4:
            case 0:
                path.write_text(json.dumps(twisted(job, chance)))
                yield "run record", partial(_prepare, path)
            case 1:
                path.write_text(yaml.safe_dump(twisted(plan, chance)))
                yield "suite", partial(suite.read, path)
            case form:
                table, labels = b"start,end,file\n" + b"1,2,a.wav\n" * 8, b"1.5\t2.5\ta click\n3:01.5\t3:02\tanother\n"
                path.write_bytes(broken(table if form == 2 else 4 * labels, chance))
                yield "list of gaps", partial(gaps.read, path)


def _prepare(path: Path) -> None:
    RestoreJob.from_record(record.load(path)).prepare()


def lines(chance: random.Random, count: int) -> Iterator[Case]:
    words = ["inpainting", "gap=1:2", "gap=", "gap=2:1", "gap=nan:inf", "|", "||", "'", "clipping", "level=-1",
             "level=0.5", "=", "x", "é", "reverb", "response=/dev/null", "resampling", "rate=1e9", "region=1:2@3:4",
             "\\", "mixing", "count=99999", "seed=-1", "stft-magnitude", "n_fft=0", "a" * 2000]  # fmt: skip
    for _ in range(count):
        text = " ".join(chance.choices(words, k=chance.randint(0, 5)))
        yield "line of components", partial(diffmusic.load_operator, text)


def answer(do: Callable[[], Any]) -> str:
    """``read``, ``refused``, or what was wrong with the answer."""
    started = time.monotonic()
    try:
        do()
        told = "read"
    except InputError as error:
        told = "refused" if "\n" not in str(error) else f"several lines: {error}"
    except BaseException as error:  # a panic is one
        if isinstance(error, KeyboardInterrupt):
            raise
        told = f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - started
    return told if seconds < LONGEST else f"{told} after {seconds:.0f} s"


def cases(seed: int, folder: Path, count: int) -> Iterator[Case]:
    """So many cases of audio, two thirds as many of documents and of lines."""
    chance = random.Random(seed)
    yield from audio(chance, folder, count)
    yield from documents(chance, folder, count * 2 // 3)
    yield from lines(chance, count * 2 // 3)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cases", type=int, default=300)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    warnings.simplefilter("ignore")
    counts: dict[str, Counter[str]] = {}
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (kind, do) in enumerate(cases(chosen.seed, Path(folder), chosen.cases)):
            told = answer(do)
            well = told in ("read", "refused")
            counts.setdefault(kind, Counter())[told if well else "wrong"] += 1
            if not well:
                wrong.append(f"case {number}, {kind}: {told}")
    print("| input | read | refused in a line | wrong |\n|---|---|---|---|")
    for kind, count in counts.items():
        print(f"| {kind} | {count['read']} | {count['refused']} | {count['wrong']} |")
    print(*wrong, sep="\n", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
