"""Noise in a measurement: floors, what telling of it does, and what finishing leaves of it.

    python -m benchmarks.noise_audit floors
    python -m benchmarks.noise_audit solve --clips 3 --snr 30 --snr 20 --snr 10
    python -m benchmarks.noise_audit solve --folder CLIPS --told --clips 5 --snr 30 --snr 20 --snr 10 --to FILE
    python -m benchmarks.noise_audit table BEFORE.jsonl AFTER.jsonl

``floors``: for each operator and rate the misfit of the truth over ``Problem.floor``, 1 where the floor is right, in
both spaces; no network is run. ``solve``: excerpts of three seconds of ``examples/``, mono at 16 kHz, ``diffmusic``
with the mini prior in ten steps: LSD, log-mel L1 and SI-SDR of the recording, of the raw estimate without and with the
noise told, and of what finishing makes of both; with ``--folder`` the middles of recordings at 16 kHz instead, and with
``--told`` nothing that is not told. Both print JSON lines, and append them to ``--to FILE``; ``table``
shows two such files beside each other. Mini 3 was trained on song.flac: its numbers tell of the method, not of the
prior.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffmusic.audio import files
from diffmusic.audio.resample import resample
from diffmusic.backbones.musicldm import mini
from diffmusic.bench.clips import Material
from diffmusic.bench.damage import Damage
from diffmusic.bench.named import Named
from diffmusic.errors import DiffmusicError
from diffmusic.metrics.lsd import lsd
from diffmusic.metrics.mel_l1 import mel_l1
from diffmusic.metrics.si_sdr import si_sdr
from diffmusic.solver import State, Step
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings
from diffmusic_solvers.diffmusic import DiffMusic

EXAMPLES = Path(__file__).parent.parent / "examples"
EXCERPTS = (("clip.flac", 1.0), ("clip.flac", 6.0), ("song.flac", 10.0), ("clip.flac", 3.5), ("song.flac", 20.0))
SECONDS = 3.0
PROBLEMS = ("inpainting gap=1:2", "resampling", "stft-magnitude", "mixing", "reverb decay=0.8", "noise")
FLOORS = (
    ("inpainting gap=1:2", 16000), ("inpainting gap=1:2", 44100), ("inpainting gap=1:2", 8000),
    ("inpainting region=1:2@1000:3000", 16000),
    ("resampling", 16000), ("resampling factor=4", 32000), ("resampling factor=4", 48000),
    ("resampling factor=4", 44100),
    ("stft-magnitude", 16000), ("stft-magnitude", 44100), ("stft-magnitude", 8000),
    ("mixing", 16000), ("mixing", 44100), ("mixing", 8000),
    ("reverb decay=0.8", 16000), ("reverb decay=0.8", 44100), ("reverb decay=0.8", 8000),
)  # fmt: skip
METRICS = {"lsd": lsd, "mel_l1": mel_l1, "si_sdr": si_sdr}


@dataclass(frozen=True)
class Recorder:
    """Solver that keeps its problem and restores nothing."""

    kept: list[Any]

    def step(self, state: State, step: Step) -> State:
        self.kept.append((step.problem, step.prior))
        return State(0 * state.z)


def excerpt(number: int, rate: int, sources: int, top: int | None, folder: Path | None = None) -> np.ndarray:
    """Return music, (sources, time) at ``rate``, with nothing above ``top`` Hz."""
    rows = []
    places: list[tuple[Path, float | None]] = [(EXAMPLES / name, start) for name, start in EXCERPTS]
    if folder:
        places = [(path, None) for path in sorted(folder.glob("*.flac"))]
    for source in range(sources):
        path, start = places[(number + 2 * source) % len(places)]
        recording = files.read(path)
        length = recording.samples.shape[-1] / recording.sample_rate
        first = round(((length - SECONDS) / 2 if start is None else start) * recording.sample_rate)
        mono = recording.samples.mean(0)[first : first + round(SECONDS * recording.sample_rate)]
        low = 2 * top if top else recording.sample_rate
        rows.append(resample(resample(mono, recording.sample_rate, low), low, rate, round(SECONDS * rate)))
    return np.stack(rows)


def material(number: int, operator: str, rate: int, top: int | None = None, folder: Path | None = None) -> Material:
    sources = 2 if operator == "mixing" else 1
    return Material(str(number), excerpt(number, rate, sources, top, folder), rate)


def floors(snrs: list[float]) -> Iterator[dict[str, Any]]:
    """Misfit of the truth over the floor, per operator and rate."""
    import torch

    prior = mini()
    for operator, rate in FLOORS:
        for snr in snrs:
            clip = material(0, operator, rate, 7000)  # what the prior cannot hold is no fault of a floor
            damage = Damage.of(Named.parse(operator), clip, snr, 0)
            kept: list[Any] = []
            settings = RestoreSettings(steps=1, finish=False, noise_std=damage.noise_std)
            length = clip.clean.shape[-1]
            row: dict[str, Any] = {"operator": operator, "rate": rate, "snr": snr}
            try:
                restore(damage.measured, damage.rate, damage.given, Recorder(kept), prior, settings, length=length)
            except DiffmusicError as error:
                row["error"] = str(error)  # an estimate of silence is refused, after it was made
            if kept:
                problem, latents = kept[0]
                low = resample(clip.clean, rate, prior.sample_rate, latents.samples)
                x = torch.from_numpy(low).float()
                x = x[None] if operator == "mixing" else x[:, None]
                row.pop("error", None)
                for space in ("mel", "waveform"):
                    floor = float(torch.as_tensor(problem.floor(space)).sum())
                    row[space] = round(float(problem.misfit(x / problem.gain, space).sum()) / floor, 3)
            yield row


def solve(
    snrs: list[float], clips: int, steps: int, chosen: list[str], folder: Path | None = None, only_told: bool = False
) -> Iterator[dict[str, Any]]:
    """Scores of the recording, of raw estimates with and without the noise told, and of the finished one."""
    prior = mini()
    for number in range(clips):
        for operator in chosen:
            for snr in snrs:
                clip = material(number, operator, 16000, folder=folder)
                damage = Damage.of(Named.parse(operator), clip, snr, 0)
                row: dict[str, Any] = {"operator": operator, "snr": snr, "clip": number}
                if damage.measured.ndim == 2:
                    heard = resample(damage.measured, damage.rate, 16000, clip.clean.shape[-1])
                    row["recording"] = _scores(clip.clean, np.tile(heard, (damage.sources, 1)))
                for name, told in (("untold", 0.0), ("told", damage.noise_std))[only_told:]:
                    settings = RestoreSettings(steps=steps, finish=False, noise_std=told)
                    given = damage.measured, damage.rate, damage.given, DiffMusic(), prior, settings
                    raw = restore(*given, length=clip.clean.shape[-1]).audio[0]
                    finished = dataclasses.replace(damage, noise_std=told).finished(raw)
                    order = damage.order(clip.clean, finished, 16000)
                    row[name], row[f"{name} finished"] = (_scores(clip.clean, x[order]) for x in (raw, finished))
                yield row


def _scores(clean: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    return {name: round(float(measure(clean, estimate, 16000)), 4) for name, measure in METRICS.items()}


def table(paths: list[Path]) -> None:
    """Print means over clips, the files beside each other."""
    read = [[json.loads(line) for line in path.read_text().splitlines()] for path in paths]
    names = " | ".join(path.stem for path in paths)
    line = "---|" * len(paths)
    every = [row for rows in read for row in rows]
    keys = list(dict.fromkeys((row["operator"], row["rate"], row["snr"]) for row in every if "rate" in row))
    if keys:
        print(f"misfit of the truth / floor, mel and waveform\n\n| operator | Hz | dB | {names} |\n|---|---|---|{line}")
    for operator, rate, snr in keys:
        cells = []
        for rows in read:
            found = [r for r in rows if (r["operator"], r.get("rate"), r["snr"]) == (operator, rate, snr)][-1:]
            cells.append(", ".join(f"{r['mel']:.2f}, {r['waveform']:.2f}" if "mel" in r else r["error"] for r in found))
        print(f"| {operator} | {rate} | {snr:g} | {' | '.join(cells)} |")
    # Means over the excerpts that all files have.
    shared = set.intersection(*({(r["operator"], r["snr"], r["clip"]) for r in rows if "clip" in r} for rows in read))

    def known(row: dict[str, Any]) -> bool:
        return "clip" in row and (row["operator"], row["snr"], row["clip"]) in shared

    read = [[row for row in rows if known(row)] for rows in read]
    every = [row for rows in read for row in rows]
    solved = list(dict.fromkeys((row["operator"], row["snr"]) for row in every if "clip" in row))
    kinds = ("recording", "untold", "told", "untold finished", "told finished")
    if solved:
        print(f"\nLSD / log-mel L1 / SI-SDR\n\n| operator | dB | row | {names} |\n|---|---|---|{line}")
    for operator, snr in solved:
        for kind in kinds:
            cells = []
            for rows in read:
                clips = [row for row in rows if "clip" in row and (row["operator"], row["snr"]) == (operator, snr)]
                found = [row[kind] for row in clips if kind in row]
                means = [np.mean([scores[name] for scores in found]) for name in METRICS] if found else []
                cells.append(" / ".join(f"{value:.3f}" for value in means))
            print(f"| {operator} | {snr:g} | {kind} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("floors", "solve", "table"))
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--snr", type=float, action="append")
    parser.add_argument("--problem", action="append", choices=PROBLEMS)
    parser.add_argument("--folder", type=Path, help="clean recordings at 16 kHz in the place of the examples")
    parser.add_argument("--told", action="store_true", help="only with the noise told")
    parser.add_argument("--to", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "table":
        return table(arguments.files)
    snrs = arguments.snr or [20.0]
    chosen = list(arguments.problem or PROBLEMS)
    rows = (
        floors(snrs)
        if arguments.what == "floors"
        else solve(snrs, arguments.clips, arguments.steps, chosen, arguments.folder, arguments.told)
    )
    for row in rows:
        line = json.dumps(row)
        print(line, flush=True)
        if arguments.to:
            with arguments.to.open("a") as file:
                file.write(line + "\n")
    return None


if __name__ == "__main__":
    main()
