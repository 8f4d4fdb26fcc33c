"""Where a step down the misfit leads, by how its gradient is taken: one clip, the mini prior.

    python -m benchmarks.vocoder_gradient

For three problems and four noise levels: the cosine between the step, from ``D`` of the true latent with noise, and the
way to the truth; and what a step of a tenth of the remaining spread leaves of the misfit. Inside the gap stands what
the prior puts there, and the cosine is that of the rest.

exact: through the vocoder, the log-mel of every frame and band alike. envelope: with the vocoder's fine structure held
fixed. posed: so too, and the misfit as a solver is given it, which weights the frames at a gap by what was measured of
them and compares a low rate at that rate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from benchmarks.precision import SIGMAS, clip, cosine
from diffmusic.audio.sinc import sinc_resample
from diffmusic.backbones.musicldm import mini
from diffmusic.problem import Problem
from diffmusic.solver.noise import generator, normal
from diffmusic.tasks.feature_map import features
from diffmusic_operators.inpainting import Inpainting
from diffmusic_operators.resampling import Resampling
from diffmusic_operators.reverb import Reverb

RATE, GAP = 0.1, (1.0, 1.5)
KINDS: tuple[Literal["exact", "envelope"], ...] = ("exact", "envelope", "envelope")
LOST = slice(*(round(25 * seconds) for seconds in GAP))
"""Latent frames."""


def problems(prior: Any) -> dict[str, tuple[Any, Callable[[Tensor], Tensor]]]:
    """For each its operator, and the log-mel of all frames and bands of what it measures."""
    return {
        "inpainting": (Inpainting(gap=(GAP,)), prior.mel),
        "resampling": (Resampling(measured_rate=8000), lambda y: prior.mel(sinc_resample(y, 8000, 16000))),
        "reverb": (Reverb(decay=0.5), prior.mel),
    }


def main() -> None:
    prior = mini()
    x = clip(prior.sample_rate)
    with torch.no_grad():
        truth = prior.encode(x)
    noise = normal(truth.shape[1:], [generator(0)], truth)
    gapped = truth.clone()
    gapped[:, :, LOST] = 0
    print("| problem | sigma | exact | misfit left | envelope | misfit left | posed | misfit left |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (operator, whole) in problems(prior).items():
        posed = features(operator, prior)
        kept = [frame for frame in range(truth.shape[2]) if name != "inpainting" or not LOST.start <= frame < LOST.stop]
        for sigma in SIGMAS:
            with torch.no_grad():
                estimate = prior.denoise(truth + sigma * noise, sigma, prior.embed(None))
                if name == "inpainting":
                    guess = prior.denoise(gapped + sigma * noise, sigma, prior.embed(None))
                    estimate[:, :, LOST] = guess[:, :, LOST]
            cells = []
            spaces: tuple[Any, ...] = (whole, whole, posed)
            for kind, compared in zip(KINDS, spaces, strict=True):
                problem = Problem(operator, operator.forward(x), 1.0, compared)
                backbone = dataclasses.replace(prior, vocoder_gradient=kind)
                leaf = estimate.clone().requires_grad_()
                misfit = problem.misfit(backbone.decode(leaf, x.shape[-1]))
                (gradient,) = torch.autograd.grad(misfit.sum(), leaf)
                length = RATE * leaf.numel() ** 0.5 * sigma / (1 + sigma**2) ** 0.5
                with torch.no_grad():
                    after = problem.misfit(backbone.decode(leaf - length * gradient / gradient.norm(), x.shape[-1]))
                likeness = cosine(-gradient[:, :, kept], (truth - estimate)[:, :, kept])
                cells += [f"{likeness:.2f}", f"{float(after / misfit.detach()):.2f}"]
            print(f"| {name} | {sigma:g} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
