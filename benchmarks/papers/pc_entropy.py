"""Entropy of directions and their eigenvalues over the noise level: figure 11 and section 3.3 of arXiv:2402.10009.

    python -m benchmarks.papers.pc_entropy [--clip FILE] [--model mini] [--levels 8]

The paper's claims: directions of high noise levels change more of the recording (higher entropy over time), and the
eigenvalues of a level are much the same for all music: here, of three stretches of the clip.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.papers.noise_maps import CLIP
from diffmusic.audio import files
from diffmusic.audio.signal import Samples
from diffmusic.editor.directions import Directions, find
from diffmusic.models.load import load_model
from diffmusic.prior import Costs
from diffmusic.tasks.edit import EditSetup
from diffmusic.tasks.settings import STRENGTH, EditSettings


def measure(clip: Path, model: str, levels: int, seconds: float, stretches: int) -> list[Directions]:
    """Find the directions of stretches of a clip, one after another."""
    prior: Any = load_model(model)
    recording, found = files.read(clip), []
    count = round(seconds * recording.sample_rate)
    for number in range(stretches):
        audio = recording.samples.mean(0, keepdims=True)[:, number * count : (number + 1) * count]
        settings = EditSettings(("",), "", strength=STRENGTH, steps=levels, source_guidance=1.0)
        task = EditSetup.of(Samples(audio), recording.sample_rate, prior, Costs(), settings).task(0)
        found.append(replace(find(task, 3), about={}))
    return found


def table(found: Sequence[Directions]) -> str:
    """Mean entropy of the components, the leading eigenvalue of each stretch, and the largest residual, by level."""
    lines = [
        "| sigma | entropy, nats | leading eigenvalue / sigma^2, by stretch | largest residual |",
        "|---|---|---|---|",
    ]
    for level, sigma in enumerate(found[0].sigmas.tolist()):
        entropy = torch.stack([each.entropy[level].mean() for each in found]).mean()
        values = ", ".join(f"{float(each.values[level].max()) / sigma**2:.2f}" for each in found)
        residual = max(float(each.residuals[level].max()) for each in found)
        lines.append(f"| {sigma:.3g} | {entropy:.2f} | {values} | {residual:.3f} |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--levels", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.28)
    parser.add_argument("--stretches", type=int, default=3)
    chosen = parser.parse_args(words)
    with torch.no_grad():
        print(table(measure(chosen.clip, chosen.model, chosen.levels, chosen.seconds, chosen.stretches)))


if __name__ == "__main__":
    main()
