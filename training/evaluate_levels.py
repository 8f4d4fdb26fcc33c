"""How much the UNet knows at each noise level: with a caption, without, and beside what a mere variance knows."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffmusic.backbones.musicldm import MusicLDM
from diffmusic.solver.noise import generator, normal
from training.captions import captions
from training.data import EXCERPT_SECONDS, MEL, split, to_float
from training.tables import Table
from training.train_clap import rows_of

SIGMAS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def tables(backbone: MusicLDM, work: Path, count: int = 48) -> list[Table]:
    clips, said = split(work, "test"), rows_of(work, "test")
    numbers = np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int)
    length = round(EXCERPT_SECONDS * MEL.sample_rate)
    errors: dict[float, list[tuple[float, float]]] = {sigma: [] for sigma in SIGMAS}
    empty = backbone.embed(None)
    for number in numbers:
        z = backbone.encode(to_float(clips[number][None, None, length : 2 * length]))
        caption = backbone.embed(captions(said[number], 1)[0])
        for sigma in SIGMAS:
            noisy = z + sigma * normal(z.shape[1:], [generator(0, number)], z)

            def error(condition: Tensor | None, noisy: Tensor = noisy, z: Tensor = z, sigma: float = sigma) -> float:
                return (backbone.denoise(noisy, sigma, condition) - z).square().mean().item()

            errors[sigma].append((error(empty), error(caption)))
    rows = [
        [f"{sigma:g}", *(f"{value:.4f}" for value in np.mean(pairs, axis=0)), f"{sigma**2 / (1 + sigma**2):.4f}"]
        for sigma, pairs in errors.items()
    ]
    torch.manual_seed(0)
    head = ["sigma", "UNet, no caption", "with its caption", "best single scalar"]
    return [Table(f"Mean squared error of the denoised latent, {len(numbers)} test excerpts", head, rows)]
