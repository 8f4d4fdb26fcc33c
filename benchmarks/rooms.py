"""Dereverberation without the room: ``wpe`` and ``diffmusic`` in rooms that neither is told of.

    python -m benchmarks.rooms CLIPS --count 5 --steps 10 --to benchmarks/results/rooms.jsonl
    python -m benchmarks.rooms --table benchmarks/results/rooms.jsonl

CLIPS is a folder of clean recordings at 16 kHz; the middle five seconds of each are used. The rooms are none that
``diffmusic.problem.room`` can describe, which has one decay and noise for reflections: ``small`` and ``hall`` are boxes
by the image method (walls of one absorption, the microphone beyond the critical distance), ``near`` has eight
reflections and a tail of two slopes, darker from 50 ms on, 2 dB below the direct sound. LSD, log-mel L1 and SI-SDR over
all five seconds, against the dry recording with the direct sound's level and time. SI-SDR wants phases, which a box
does not leave: it says little below 0 dB. ``known`` is ``wiener`` with the very response.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
import torch
from scipy.signal import butter, fftconvolve, lfilter

from benchmarks.recorded import RATE, excerpts
from diffmusic.metrics.lsd import lsd
from diffmusic.metrics.mel_l1 import mel_l1
from diffmusic.metrics.si_sdr import si_sdr
from diffmusic.problem.bound import BoundOperator
from diffmusic.tasks.api import restore
from diffmusic_operators.reverb import Reverb

METRICS = {"lsd": lsd, "mel_l1": mel_l1, "si_sdr": si_sdr}
ROWS = ("recording", "wpe, raw", "wpe", "diffmusic, raw", "diffmusic", "known")


def box(size: tuple[float, ...], source: tuple[float, ...], ear: tuple[float, ...], wall: float) -> np.ndarray:
    """Response of a box, by images up to the eighteenth along each axis; the direct sound is its first tap.

    Args:
        size: Metres.
        source: Place.
        ear: Place.
        wall: What a wall leaves of a sound's amplitude.

    Source: J. Allen and D. Berkley, "Image method for efficiently simulating small-room acoustics", JASA 65(4), 1979.
    """
    order = np.arange(-18, 19)
    places = [
        np.concatenate([2 * order * a + b, 2 * order * a - b]) - c for a, b, c in zip(size, source, ear, strict=True)
    ]
    hits = np.concatenate([np.abs(2 * order), np.abs(2 * order - 1)])
    distance = np.linalg.norm(np.meshgrid(*places, indexing="ij"), axis=0)
    bounces = np.sum(np.meshgrid(hits, hits, hits, indexing="ij"), axis=0)
    direct = float(np.linalg.norm(np.subtract(source, ear)))
    late = (distance - direct) / 343 * RATE
    seen = late < RATE - 1
    taps, first, part = np.zeros(RATE + 1), np.floor(late[seen]).astype(int), late[seen] % 1
    level = direct * wall ** bounces[seen] / distance[seen]
    np.add.at(taps, first, level * (1 - part))
    np.add.at(taps, first + 1, level * part)
    return taps


def near() -> np.ndarray:
    draw, at = np.random.default_rng(0), np.arange(round(1.3 * RATE)) / RATE
    tail = draw.standard_normal(len(at)) * (10 ** (-3 * at / 0.3) + 0.15 * 10 ** (-3 * at / 1.2))
    tail = np.where(at < 0.05, tail, lfilter(*butter(1, 2500, fs=RATE), tail))
    tail[: round(0.004 * RATE)] = 0
    tail[draw.integers(round(0.004 * RATE), round(0.04 * RATE), 8)] += draw.choice([-1, 1], 8) * np.abs(tail).max()
    tail *= 10 ** (-2 / 20) / np.linalg.norm(tail)
    tail[0] = 1
    return np.asarray(tail)


def rooms() -> dict[str, np.ndarray]:
    return {
        "small": box((7, 5, 3), (2, 3, 1.5), (5, 2, 1.6), 0.85),
        "hall": box((18, 12, 6), (4, 6, 1.7), (13, 5, 1.7), 0.8),
        "near": near(),
    }


def known(wet: np.ndarray, taps: np.ndarray) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        response = Path(folder) / "response.wav"
        soundfile.write(response, taps, RATE, subtype="DOUBLE")
        return restore(wet, RATE, f"reverb response={response}", solver="wiener").audio[0]


def estimates(wet: np.ndarray, taps: np.ndarray, steps: int) -> dict[str, np.ndarray]:
    made = {
        "recording": wet,
        "wpe, raw": restore(wet, RATE, "reverb", solver="wpe", finish=False).audio[0],
        "wpe": restore(wet, RATE, "reverb", solver="wpe").audio[0],
        "diffmusic, raw": restore(wet, RATE, "reverb", solver="diffmusic", steps=steps, finish=False).audio[0],
    }
    made["diffmusic"] = finished(made["diffmusic, raw"], wet)
    made["known"] = known(wet, taps)
    return made


def finished(raw: np.ndarray, wet: np.ndarray) -> np.ndarray:
    """What ``restore`` makes of a raw estimate, without a second walk."""
    bound, y = BoundOperator.of(Reverb(), wet, RATE)
    return np.asarray(bound.finish(torch.from_numpy(raw)[None], y)[0])


def measure(folder: Path, count: int, steps: int, to: Path) -> None:
    responses = rooms()
    for clip, clean in excerpts(folder, count):
        for room, taps in responses.items():
            started = time.process_time()
            wet = fftconvolve(clean, taps)[: len(clean)][None]
            made = estimates(wet, taps, steps)
            line = {"clip": clip, "room": room, "steps": steps, "cpu": round(time.process_time() - started, 1)}
            line |= {
                row: {name: round(float(metric(clean[None], audio, RATE)), 4) for name, metric in METRICS.items()}
                for row, audio in made.items()
            }
            print(json.dumps(line), flush=True)
            with to.open("a") as file:
                file.write(json.dumps(line) + "\n")


def table(path: Path) -> str:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    by_room = defaultdict(list)
    for line in lines:
        by_room[line["room"]].append(line)
    text = ["LSD / log-mel L1 / SI-SDR", "", f"| row | {' | '.join(f'{r} ({len(x)})' for r, x in by_room.items())} |",
            "|---|" + "---|" * len(by_room)]  # fmt: skip
    for row in [row for row in ROWS if all(row in line for line in lines)]:
        cells = [
            " / ".join(f"{np.mean([x[row][name] for x in found]):.{1 if name == 'si_sdr' else 3}f}" for name in METRICS)
            for found in by_room.values()
        ]
        text.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "results" / "rooms.jsonl")
    parser.add_argument("--table", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.clips:
        measure(chosen.clips, chosen.count, chosen.steps, chosen.to)
    print(table(chosen.table or chosen.to))


if __name__ == "__main__":
    main()
