"""Gaps in held-out clips: a prior beside silence, interpolation and its own round trip.

    python -m benchmarks.inpainting --work training/work --split test --gap 0.25 0.5 1 2 --clips 12 --name inpainting
    python -m benchmarks.inpainting --work training/work --split validation --clips 4 --name tuning \
        --row "diffmusic steps=50 repeats=1" --row "diffmusic steps=25 repeats=2"

The clips are those that ``python -m training.corpus`` renders, or with ``--recorded`` excerpts of the held-out
recordings of ``python -m training.recordings``. The gap lies in the middle of an excerpt of 5.12 s.
Measured inside it, on the frames that lie wholly in the gap: log-mel L1 in nats; LSD; the spectral flux
``mean |M[t+1] - M[t]|`` over the original's, which is 1 for music that moves as it did and near 0 for a smear; and the
mean over octave bands (62 Hz to 8 kHz) of how far the gap's energy is from the original's, in dB either way. FAD is
between the gaps of all clips with a quarter second of their surroundings and the same of the originals, in the
embedding of the mini CLAP; every row has as many embeddings, so rows compare, numbers of other tables do not.
``--shard 0/2`` and ``--shard 1/2`` share the clips between two processes; ``--merge`` joins what they wrote.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.jobs import record
from diffmusic.metrics.clap import Clap
from diffmusic.metrics.fad import frechet_distance
from diffmusic.metrics.lsd import lsd
from diffmusic.models.load import load_model
from diffmusic.parameters import build
from diffmusic.plugins import registry
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings
from diffmusic_operators.inpainting import Inpainting
from training.data import split, to_float
from training.held_out import excerpts as spread
from training.held_out import sound_files

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
        self.seconds = seconds
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

    def linear_log_mel(clean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mel = log_mel(clean)
        # The last frames on either side that see nothing of the gap.
        margin = SPEC.n_fft // 2
        a, b = (gap.start - margin) // SPEC.hop - 1, (gap.stop + margin) // SPEC.hop + 1
        weight = np.linspace(0, 1, b - a + 1)[:, None]
        mel[a : b + 1] = (1 - weight) * mel[a] + weight * mel[b]
        with torch.no_grad():
            sound = prior.vocoder(torch.from_numpy(mel)[None]).reshape(-1).double().numpy()
        audio = clean.copy()
        audio[gap.start : gap.stop] = sound[gap.start : gap.stop]
        return mel, audio

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
        result = restore(damaged, RATE, gap.operator, solver, prior, RestoreSettings(steps=steps, samples=samples))
        return [audio[0] for audio in result.audio]

    return estimate


@dataclass
class Row:
    """What a row of the table is made of: scores of each estimate, and embeddings of its gap."""

    scores: list[dict[str, float]] = field(default_factory=list)
    embeddings: list[list[float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def measure(
    gap: Gap, prior: Any, clap: Clap, excerpts: Sequence[np.ndarray], rows: Sequence[str], draws: int
) -> dict[str, Row]:
    """Every row over these excerpts. A row of several draws has a second one, their mean in log-mel."""
    table: dict[str, Row] = defaultdict(Row)
    around = slice(max(0, gap.start - RATE // 4), gap.stop + RATE // 4)

    def add(name: str, clean: np.ndarray, mel: np.ndarray, audio: np.ndarray | None, seconds: float) -> None:
        row = table[name]
        row.scores.append(gap.scores(clean, mel, audio))
        row.seconds.append(seconds)
        if audio is not None:
            row.embeddings.append(clap.audio(audio[None, around], RATE)[0].tolist())

    for clean in excerpts:
        add("original", clean, log_mel(clean), clean, 0.0)
        for name, make in references(gap, prior).items():
            add(name, clean, *make(clean), 0.0)
        for name in rows:
            started = time.perf_counter()
            drawn = solved(gap, prior, name, 1 if name.startswith("interpolate") else draws)(clean)
            seconds = (time.perf_counter() - started) / len(drawn)
            for audio in drawn:
                add(name, clean, log_mel(audio), audio, seconds)
            if len(drawn) > 1:
                mean = np.mean([log_mel(audio) for audio in drawn], axis=0)
                add(f"{name}, mean of {draws} in log-mel", clean, mean, None, seconds * draws)
        print(f"gap {gap.seconds:g} s: {len(table['original'].scores)} of {len(excerpts)} clips", flush=True)
    return table


def summary(table: dict[str, Row]) -> dict[str, dict[str, float]]:
    """Means of the scores, and the FAD to the originals, computed of one draw a clip."""
    truth = np.array(table["original"].embeddings)
    made = {}
    for name, row in table.items():
        draws = max(1, len(row.embeddings) // len(truth))
        vectors = np.array(row.embeddings)
        distances = [frechet_distance(truth, vectors[k::draws]) for k in range(draws)] if row.embeddings else []
        # A record holds null for what a row has not, such as the LSD of a spectrogram.
        made[name] = {key: float(np.mean([_number(each[key]) for each in row.scores])) for key in row.scores[0]} | {
            "fad": float(np.mean(distances)) if distances else float("nan"),
            "seconds": float(np.mean(row.seconds)),
        }
    return made


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def markdown(rows: dict[str, dict[str, float]]) -> str:
    lines = ["| row | mel L1 | LSD | flux ratio | octaves dB | FAD | seconds |", "|---|---|---|---|---|---|---|"]
    for name, values in rows.items():
        cells = ["\N{EN DASH}" if np.isnan(value) else f"{value:.3f}" for value in values.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--recorded", action="store_true", help="excerpts of recordings, not of rendered clips")
    parser.add_argument("--gap", type=float, nargs="+", default=[1.0])
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--row", action="append", default=[])
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--merge", action="store_true", help="only join the shards of NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--name", help="write benchmarks/results/NAME.json")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    results = Path(__file__).parent / "results"
    shard, shards = (int(part) for part in chosen.shard.split("/"))
    if chosen.merge:
        merge(results, chosen.name)
        return

    if chosen.recorded:
        files = [file for name, files in sound_files(chosen.work, chosen.split).items() for file in files
                 if not name.startswith("bank_")]  # fmt: skip
        numbers = np.arange(chosen.clips)[shard::shards]
        excerpts = [each.double().numpy() for each in spread(files, chosen.clips)[shard::shards]]
    else:
        clips = split(chosen.work, chosen.split)
        numbers = np.linspace(0, len(clips) - 1, chosen.clips).round().astype(int)[shard::shards]
        excerpts = [to_float(clips[number][START : START + EXCERPT]).double().numpy() for number in numbers]
    prior: Any = load_model(chosen.model)
    clap = Clap.load(prior.folder)
    document: dict[str, Any] = {
        "settings": {key: str(value) for key, value in vars(chosen).items() if key != "work"},
        "clips": numbers.tolist(), "model": prior.describe(), "versions": record.versions(), "gaps": {},
    }  # fmt: skip
    for seconds in chosen.gap:
        table = measure(Gap(seconds), prior, clap, excerpts, chosen.row or ["interpolate", "diffmusic"], chosen.samples)
        document["gaps"][f"{seconds:g}"] = {name: asdict(row) for name, row in table.items()}
        print(f"\n{markdown(summary(table))}\n", flush=True)
        if chosen.name:
            suffix = f".{shard}" if shards > 1 else ""
            (results / f"{chosen.name}{suffix}.json").write_text(record.dump(finished(document, shards == 1)))


def finished(document: dict[str, Any], last: bool) -> dict[str, Any]:
    """The document as it is kept: means, and no embeddings once nothing is to be joined any more."""
    if not last:
        return document
    tables = {gap: {name: Row(**row) for name, row in rows.items()} for gap, rows in document["gaps"].items()}
    return document | {"gaps": {gap: summary(table) for gap, table in tables.items()}}


def merge(results: Path, name: str) -> None:
    """Join NAME.0.json, NAME.1.json, ... into NAME.json and print its tables."""
    paths = sorted(results.glob(f"{name}.[0-9]*.json"))
    documents = [json.loads(path.read_text()) for path in paths]
    whole = documents[0]
    for other in documents[1:]:
        whole["clips"] += other["clips"]
        for gap, rows in whole["gaps"].items():
            for row, values in rows.items():
                for key in values:
                    values[key] += other["gaps"][gap][row][key]
    whole = finished(whole, last=True)
    (results / f"{name}.json").write_text(record.dump(whole))
    for path in paths:
        path.unlink()
    for gap, rows in whole["gaps"].items():
        print(f"gap of {gap} s\n\n{markdown(rows)}\n")


if __name__ == "__main__":
    main()
