"""Gaps in held-out clips: the mini prior beside silence, interpolation and its own round trip.

    python -m benchmarks.inpainting --work training/work --split test --gap 1.0 --clips 12 --name inpainting-test
    python -m benchmarks.inpainting --work training/work --split validation --clips 4 --name tuning \
        --row "diffmusic steps=50 repeats=1" --row "diffmusic steps=25 repeats=2"

The clips are those that ``python -m training.corpus`` renders. The gap lies in the middle of an excerpt of
5.12 s. Measured inside it, on the frames that lie wholly in the gap: log-mel L1 in nats; LSD; the spectral flux
``mean |M[t+1] - M[t]|`` over the original's, which is 1 for music that moves as it did and near 0 for a smear; and the
mean over octave bands (62 Hz to 8 kHz) of how far the gap's energy is from the original's, in dB either way.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffmusic import models, record
from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.metrics.lsd import lsd
from diffmusic.parameters import build
from diffmusic.plugins import registry
from diffmusic.restore import restore
from diffmusic_operators.inpainting import Inpainting
from training.data import split, to_float

RATE, EXCERPT, START = 16000, 81920, 48000
SPEC = MelSpec()


def log_mel(audio: np.ndarray) -> np.ndarray:
    """(frames, bands), nats."""
    return LogMel(SPEC)(torch.from_numpy(audio).float()[None])[0].numpy()


def octaves(audio: np.ndarray) -> np.ndarray:
    """Energy in the seven octaves from 62.5 Hz to 8 kHz, dB."""
    power = np.square(np.abs(np.fft.rfft(audio)))
    hertz = np.fft.rfftfreq(len(audio), 1 / RATE)
    edges = 62.5 * 2.0 ** np.arange(8)
    return np.array([10 * np.log10(power[(hertz >= a) & (hertz < b)].sum() + 1e-9) for a, b in pairwise(edges)])


class Gap:
    """A gap of so many seconds in the middle of the excerpt."""

    def __init__(self, seconds: float) -> None:
        middle, half = EXCERPT / RATE / 2, seconds / 2
        self.operator = Inpainting(gap=((middle - half, middle + half),), sample_rate=RATE)
        ((self.start, self.stop),) = self.operator.damage(EXCERPT)
        margin = SPEC.n_fft // 2  # frames that reach across an edge see both sides
        self.frames = slice((self.start + margin) // SPEC.hop, (self.stop - margin) // SPEC.hop)

    def scores(self, clean: np.ndarray, mel: np.ndarray, audio: np.ndarray | None) -> dict[str, float]:
        """Measures inside the gap; ``audio`` is None for a row that exists as a spectrogram only."""
        truth = log_mel(clean)
        flux, flux_of_truth = (float(np.abs(np.diff(m[self.frames], axis=0)).mean()) for m in (mel, truth))
        inside = slice(self.start, self.stop)
        distance = bands = float("nan")
        if audio is not None:
            distance = lsd(clean[None, inside], audio[None, inside], RATE)
            bands = float(np.abs(octaves(audio[inside]) - octaves(clean[inside])).mean())
        return {
            "mel_l1": float(np.abs(mel - truth)[self.frames].mean()),
            "lsd": distance,
            "flux_ratio": flux / flux_of_truth,
            "octaves_db": bands,
        }


def references(gap: Gap, prior: Any) -> dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]]:
    """Rows without a solver: each maps a clean excerpt to a log-mel and, where there is any, audio."""

    def silence(clean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        audio = clean.copy()
        audio[gap.start : gap.stop] = 0
        return log_mel(audio), audio

    def linear_log_mel(clean: np.ndarray) -> tuple[np.ndarray, None]:
        mel = log_mel(clean)
        # The last frames on either side that see nothing of the gap.
        margin = SPEC.n_fft // 2
        a, b = (gap.start - margin) // SPEC.hop - 1, (gap.stop + margin) // SPEC.hop + 1
        weight = np.linspace(0, 1, b - a + 1)[:, None]
        mel[a : b + 1] = (1 - weight) * mel[a] + weight * mel[b]
        return mel, None

    def round_trip(clean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            x = torch.from_numpy(clean).float()[None, None]
            audio = prior.decode(prior.encode(x), EXCERPT)[0, 0].double().numpy()
        return log_mel(audio), audio

    return {"silence": silence, "linear in log-mel": linear_log_mel, "round trip of the truth": round_trip}


def solved(gap: Gap, prior: Any, row: str, samples: int) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A row of a solver, ``"diffmusic steps=25 repeats=2"``: maps a clean excerpt to its posterior samples."""
    name, *words = row.split()
    given = dict(word.split("=", 1) for word in words)
    steps = int(given.pop("steps", 25))
    solver = build(registry().load("solver", name), given, f"solver {name!r}")

    def estimate(clean: np.ndarray) -> list[np.ndarray]:
        damaged = gap.operator.forward(torch.from_numpy(clean)[None])[0].numpy()[None]
        result = restore(damaged, RATE, gap.operator, solver, prior, steps=steps, samples=samples)
        return [audio[0] for audio in result.audio]

    return estimate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--gap", type=float, default=1.0)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--row", action="append", default=[])
    parser.add_argument("--name", help="write benchmarks/results/NAME.json")
    chosen = parser.parse_args()

    clips = split(chosen.work, chosen.split)
    numbers = np.linspace(0, len(clips) - 1, chosen.clips).round().astype(int)
    excerpts = [to_float(clips[number][START : START + EXCERPT]).double().numpy() for number in numbers]
    gap, prior = Gap(chosen.gap), models.load(chosen.model)
    table: dict[str, dict[str, float]] = {}

    def tell(row: str, scores: list[dict[str, float]], seconds: float) -> None:
        table[row] = {key: float(np.mean([each[key] for each in scores])) for key in scores[0]} | {"seconds": seconds}
        cells = " | ".join(f"{value:.3f}" for value in table[row].values())
        print(f"| {row} | {cells} |", flush=True)

    print("| row | mel L1 | LSD | flux ratio | octaves dB | seconds a clip |\n|---|---|---|---|---|---|")
    for name, make in references(gap, prior).items():
        tell(name, [gap.scores(clean, *make(clean)) for clean in excerpts], 0.0)
    for row in chosen.row or ["interpolate", "diffmusic"]:
        started, estimate = time.perf_counter(), solved(gap, prior, row, chosen.samples)
        drawn = [estimate(clean) for clean in excerpts]
        seconds = (time.perf_counter() - started) / len(excerpts) / chosen.samples
        singles = [
            gap.scores(clean, log_mel(audio), audio)
            for clean, samples in zip(excerpts, drawn, strict=True)
            for audio in samples
        ]
        tell(row, singles, seconds)
        if chosen.samples > 1:
            means = [np.mean([log_mel(audio) for audio in samples], axis=0) for samples in drawn]
            averaged = [gap.scores(clean, mel, None) for clean, mel in zip(excerpts, means, strict=True)]
            tell(f"{row}, mean of {chosen.samples} in log-mel", averaged, seconds * chosen.samples)
    if chosen.name:
        settings = {key: str(value) for key, value in vars(chosen).items() if key != "work"}
        document = {
            "settings": settings,
            "clips": numbers.tolist(),
            "model": prior.describe(),
            "versions": record.versions(),
            "threads": torch.get_num_threads(),
            "rows": table,
        }
        path = Path(__file__).parent / "results" / f"{chosen.name}.json"
        path.write_text(record.dump(document))
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
