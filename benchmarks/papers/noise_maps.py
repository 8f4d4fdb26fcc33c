"""Statistics of noise maps: figures 6 and 12 of arXiv:2304.06140, on a clip of the model's own and on a recording.

    python -m benchmarks.papers.noise_maps [--clip FILE] [--model mini] [--levels 20]

At each level the deviation of ``n_i = (z_{i+1} - m(z_i)) / s_i`` and its correlation with ``n_{i+1}``, for the maps
that a clip was sampled with, for edit-friendly ones and for CycleDiffusion's. The paper's claim: native maps have
deviation 1 and no correlation; edit-friendly ones have a larger deviation and are negatively correlated;
CycleDiffusion's are close to native ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio import files
from diffmusic.audio.signal import Samples
from diffmusic.editor.contract import Edit
from diffmusic.editor.inversion import independent_path, invert, posterior_path
from diffmusic.models.load import load_model
from diffmusic.prior import Costs
from diffmusic.solver.steps import deviations, mean
from diffmusic.tasks.edit import EditSetup
from diffmusic.tasks.settings import EditSettings

CLIP = Path(__file__).parents[2] / "examples" / "clip.flac"


def statistics(maps: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the deviation of each map, (levels,), and the correlation with the next, (levels - 1,)."""
    flat = maps.flatten(1).double()
    pairs = torch.nn.functional.cosine_similarity(flat[:-1], flat[1:], dim=1)
    return flat.square().mean(1).sqrt().numpy(), pairs.numpy()


def sampled(task: Edit) -> tuple[Tensor, Tensor]:
    """Sample a latent from nothing; return it and the maps that it was sampled with."""
    z, maps = task.sigmas[0] * task.noise(1000), []
    for index, (sigma, sigma_next) in enumerate(zip(task.sigmas, task.sigmas[1:], strict=False)):
        _, s = deviations(sigma, sigma_next, 1.0)
        fresh = task.noise(1001 + index)
        z = mean(z, task.denoise(z, sigma, task.source), sigma, sigma_next, 1.0) + s * fresh
        if s:
            maps.append(fresh)
    return z, torch.stack(maps)


def measure(task: Edit) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the statistics of every kind of map, of a sampled latent and of the task's own."""
    from dataclasses import replace

    made, native = sampled(task)
    rows = {"sampled: native": statistics(native)}
    for name, given in (("sampled", replace(task, z0=made)), ("recording", task)):
        rows[f"{name}: edit-friendly"] = statistics(invert(given, independent_path(given)).noise())
        rows[f"{name}: CycleDiffusion"] = statistics(invert(given, posterior_path(given)).noise())
    return rows


def table(rows: dict[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """Means over the levels, and the range of the deviation."""
    lines = ["| maps | deviation | its range | correlation with the next |", "|---|---|---|---|"]
    for name, (deviation, correlation) in rows.items():
        span = f"{deviation.min():.2f} to {deviation.max():.2f}"
        lines.append(f"| {name} | {deviation.mean():.2f} | {span} | {correlation.mean():+.2f} |")
    return "\n".join(lines)


def setup(clip: Path, model: str, levels: int, seconds: float) -> Edit:
    """Encode the beginning of a clip, mono, with a walk from the model's highest level."""
    prior: Any = load_model(model)
    recording = files.read(clip)
    audio = recording.samples.mean(0, keepdims=True)[:, : round(seconds * recording.sample_rate)]
    settings = EditSettings(("",), "", strength=float(prior.sigmas(2)[0]), steps=levels)
    return EditSetup.of(Samples(audio), recording.sample_rate, prior, Costs(), settings).task(0)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, default=CLIP)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--levels", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=2.56)
    chosen = parser.parse_args(words)
    with torch.no_grad():
        print(table(measure(setup(chosen.clip, chosen.model, chosen.levels, chosen.seconds))))


if __name__ == "__main__":
    main()
