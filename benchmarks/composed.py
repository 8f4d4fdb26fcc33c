"""A dull, hissing, clipped file: one composed run against three runs in sequence, and against the classical three.

    python -m benchmarks.composed --steps 10 --clips 2

Excerpts of ``examples/``, mono at 16 kHz, brought to 8 kHz, with white noise, then clipped. The sequence undoes the
last damage first, each by its default solver: clipping, noise, then the rate. LSD, log-mel L1 and SI-SDR over the
excerpt, CPU seconds of this process.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffmusic.audio import files
from diffmusic.audio.resample import resample
from diffmusic.jobs.inputs import damaged
from diffmusic.metrics.lsd import lsd
from diffmusic.metrics.mel_l1 import mel_l1
from diffmusic.metrics.si_sdr import si_sdr
from diffmusic.prior.backbone import Backbone
from diffmusic.tasks.api import restore
from diffmusic.tasks.loading import load_model, load_operator

EXAMPLES = Path(__file__).parent.parent / "examples"
EXCERPTS = (("clip.flac", 1.0), ("song.flac", 10.0))
RATE, LOW, SECONDS = 16000, 8000, 4.0
METRICS: dict[str, Any] = {"lsd": lsd, "mel_l1": mel_l1, "si_sdr": si_sdr}


def excerpt(name: str, start: float) -> np.ndarray:
    """Return clean audio, (1, time) at ``RATE``, with a peak of 0.9."""
    recording = files.read(EXAMPLES / name)
    rate = recording.sample_rate
    mono = recording.samples.mean(0, keepdims=True)[:, round(start * rate) : round((start + SECONDS) * rate)]
    audio = resample(mono, rate, RATE, round(SECONDS * RATE))
    return 0.9 * audio / np.abs(audio).max()


@dataclass(frozen=True)
class Ways:
    """The ways to mend a file: with a prior at ``steps``, of the damages ``parts``, the first that happened first."""

    prior: Backbone
    steps: int
    parts: tuple[str, str, str]

    def as_it_was(self, y: np.ndarray) -> np.ndarray:
        return resample(y, LOW, RATE, 2 * y.shape[-1])

    def one_composed_run(self, y: np.ndarray) -> np.ndarray:
        return self._solved(y, " | ".join(self.parts), "diffmusic")

    def three_runs(self, y: np.ndarray) -> np.ndarray:
        return self._each(y, "declip", "diffmusic", "diffmusic")

    def three_without_a_prior(self, y: np.ndarray) -> np.ndarray:
        return self._each(y, "declip", "spectral-subtraction", "sinc")

    def _each(self, y: np.ndarray, *solvers: str) -> np.ndarray:
        for part, solver in zip(reversed(self.parts), solvers, strict=True):
            y = self._solved(y, part, solver)
        return y

    def _solved(self, y: np.ndarray, operator: str, solver: str) -> np.ndarray:
        return restore(y, LOW, operator, solver=solver, model=self.prior, steps=self.steps).audio[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--std", type=float, default=0.01)
    parser.add_argument("--level", type=float, default=0.4)
    given = parser.parse_args()
    parts = ("resampling factor=2", f"noise std={given.std}", f"clipping level={given.level}")
    ways, damage = Ways(load_model("mini"), given.steps, parts), load_operator(" | ".join(parts))
    for name, start in EXCERPTS[: given.clips]:
        clean = excerpt(name, start)
        measured, _, _ = damaged(damage, clean, RATE)
        lost = float((np.abs(measured) >= 0.999 * given.level).mean())
        print(f"{name}, {start:g} s: {100 * lost:.1f} % of the samples clipped", flush=True)
        for way in (ways.as_it_was, ways.one_composed_run, ways.three_runs, ways.three_without_a_prior):
            began = time.process_time()
            audio = way(measured)
            seconds = time.process_time() - began
            values = "  ".join(f"{key} {float(metric(clean, audio, RATE)):7.3f}" for key, metric in METRICS.items())
            print(f"  {way.__name__:24} {values}  {seconds:6.1f} CPU s", flush=True)


if __name__ == "__main__":
    main()
