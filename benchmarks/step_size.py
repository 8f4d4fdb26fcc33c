"""Why a step of given length: fit the log-mel of one clip from a zero latent, with no network in between.

    python -m benchmarks.step_size --work training/work

Prints the misfit, in nats^2 a frame and band, after some steps of two rules: Polyak's, ``misfit / ||g||^2``, and a
length that falls geometrically from 0.3 to 0.02 of the latent's standard deviation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from diffmusic.models.load import load_model
from training.data import split, to_float

STEPS, CLIP, START, LENGTH = 40, 20, 48000, 40960


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    prior = load_model("mini")
    x = to_float(split(parser.parse_args().work, "validation")[CLIP][START : START + LENGTH])[None, None]
    target = prior.mel(x)

    def misfit(z: torch.Tensor) -> torch.Tensor:
        return (prior.mel(prior.decode(z, LENGTH)) - target).square().sum()

    with torch.no_grad():
        print(f"round trip of the clip itself: {float(misfit(prior.encode(x))) / target.numel():.3f}")
    for rule in ("polyak", "length"):
        z, left = torch.zeros(1, *prior.latent_shape(LENGTH)), []
        for step in range(STEPS):
            leaf = z.requires_grad_()
            loss = misfit(leaf)
            (gradient,) = torch.autograd.grad(loss, leaf)
            norm = float(gradient.norm())
            length = 0.3 * (0.02 / 0.3) ** (step / (STEPS - 1)) * z.numel() ** 0.5
            gamma = float(loss) / norm**2 if rule == "polyak" else length / norm
            z = (leaf - gamma * gradient).detach()
            left.append(float(loss) / target.numel())
        with torch.no_grad():
            left.append(float(misfit(z)) / target.numel())
        print(f"{rule}: " + ", ".join(f"{left[step]:.3f} after {step}" for step in (0, 10, 20, 30, 40)))


if __name__ == "__main__":
    main()
