"""Free samples of a prior: no measurement, only a caption or none."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from diffmusic.prior import Backbone, Costs, Prior
from diffmusic.solver import deviations
from diffmusic.solver.noise import generator, normal


@torch.no_grad()
def sample(
    backbone: Backbone, captions: Sequence[str], samples: int, steps: int = 50, guidance: float = 1.0, seed: int = 0
) -> Tensor:
    """Audio (captions, samples) by DDIM in the package's frame; the n-th caption starts from the n-th noise."""
    drawn = []
    empty = backbone.embed(None)
    for number, caption in enumerate(captions):
        contrast = empty if caption and guidance != 1 else None
        prior = Prior(backbone, samples, Costs(), (backbone.embed(caption),), (contrast,), guidance)
        levels = backbone.sigmas(steps).tolist()
        z = levels[0] * normal(prior.latent_shape, [generator(seed, number)], torch.zeros(1))
        for sigma, sigma_next in pairwise(levels):
            clean = prior.denoise(z, sigma)
            keep, _ = deviations(sigma, sigma_next, eta=0.0)
            z = clean + keep / sigma * (z - clean)
        drawn.append(prior.decode(z)[0, 0])
    return torch.stack(drawn)
