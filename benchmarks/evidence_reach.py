"""How far a gap reaches into the latents of a backbone, as ``diffmusic.solver.evidence`` finds it.

    python -m benchmarks.evidence_reach --model mini
    python -m benchmarks.evidence_reach --tiny          # a tiny checkpoint of every kind, with random weights

One fifth of an excerpt of examples/song.flac is lost, a second at most. Printed for each model: milliseconds of a
latent frame, the frames that count as unknown before and after the gap, the part of all latents that counts as known,
and how far those that do are from the encoding of the intact excerpt, in deviations of the latents. With random weights
the reach is that of the architecture and of its normalisation, not of a trained encoder.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffmusic.jobs.model_check import CheckSettings, excerpts
from diffmusic.models.load import load_model
from diffmusic.parameters import bind
from diffmusic.prior import Costs, Prior
from diffmusic.problem import Problem
from diffmusic.solver import evidence
from diffmusic.tasks.prior_quality import scaled
from diffmusic.tasks.prior_race import hole
from diffmusic_operators.inpainting import Inpainting

SONG = Path(__file__).parents[1] / "examples" / "song.flac"
KINDS = ("musicldm", "audioldm2", "stable_audio", "stable_audio_3", "ace_step")


def row(name: str, backbone: Any) -> str:
    (clip,) = excerpts([SONG], backbone, CheckSettings(clips=1)).values()
    x = scaled(clip, backbone)
    samples, rate = x.shape[-1], backbone.sample_rate
    start, stop = hole(samples / rate)
    operator = bind(Inpainting(gap=((start, stop),)), sample_rate=rate, offset=0.0)
    prior = Prior(backbone, samples, Costs())
    with torch.no_grad():
        known = evidence(Problem(operator, operator.forward(x)), prior)
        intact = prior.encode(x)
    frames = intact.shape[2]
    hop = samples / rate / frames
    mask = known.known.expand_as(intact)
    unknown = np.flatnonzero((known.known[0, 0].reshape(frames, -1) < 1).any(1).numpy())
    before, after = round(start / hop) - unknown.min(), unknown.max() + 1 - round(stop / hop)
    error = float(((known.latents - intact).square() * mask).sum() / mask.sum()) ** 0.5 / float(intact.std())
    return (f"| {name} | {1000 * hop:.0f} | {before} | {after} | {float(mask.mean()):.2f} | {error:.3f} | "
            f"{(stop - start):.2f} of {samples / rate:.2f} s |")  # fmt: skip


def models(chosen: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    for name in chosen.model:
        yield Path(name).name, load_model(name)
    if chosen.tiny:
        from tests import checkpoints

        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder:
                yield f"{kind}, tiny", load_model(str(getattr(checkpoints, kind)(Path(folder))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--tiny", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | ms a frame | unknown before | after | known | their error | gap |\n|---|---|---|---|---|---|---|")
    for name, backbone in models(chosen):
        print(row(name, backbone), flush=True)


if __name__ == "__main__":
    main()
