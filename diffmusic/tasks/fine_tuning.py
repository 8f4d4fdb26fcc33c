"""Fine-tuning on one recording: a low-rank adapter by which a prior's network reproduces it from its prompt.

    min_{A, B}  E_sigma,n  (1 + sigma^2) / sigma^2  mean |D(z_0 + sigma n, sigma, c) - z_0|^2

for every linear and convolutional layer of the network, with ``z_0`` the recording's latents and ``c`` its prompt. The
weight makes the error of a latent of unit variance equally large at every noise level (table 1 of Karras et al., with
``sigma_data = 1``); it is the plain error of ``v``, whatever the network predicts. The adapter is meant to remember the
recording, not to generalise.

Source: E. Hu et al., "LoRA", arXiv:2106.09685; T. Karras et al., arXiv:2206.00364.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from diffmusic.errors import Diverged
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.guidance import Embedder
from diffmusic.solver.noise import generator
from diffmusic.tasks.adapter import Adapter, adapted, identity, trained_weights

PROBES = 6
"""Noise levels, spread over all, at which the loss is measured, always with the same noise."""
GAIN = 0.01
"""Relative decrease of the measured loss that counts as progress."""


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's own generator, which draws the first ``A``, and restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def capture(
    backbone: Backbone,
    z0: Tensor,
    prompt: str,
    *,
    steps: int = 300,
    rank: int = 8,
    rate: float = 2e-3,
    patience: int = 3,
    seed: int = 0,
    window: int | None = None,
    seconds: float = 0.0,
    costs: Costs | None = None,
    tick: Callable[[float], None] = lambda done: None,
) -> Adapter:
    """Learn a recording by its prompt, with Adam. The weights with the lowest measured loss are kept.

    Args:
        z0: latents of the recording, (items, channels, frames, ...).
        prompt: the text that is to stand for it.
        steps: of the optimiser, at most; each sees one item at one noise level.
        rank: ``r``.
        rate: learning rate, falling to 0 along a cosine.
        patience: how often the loss, measured every 25 steps, may fail to fall before training stops.
        window: frames of an item that a step sees, where it has more.
        seconds: duration of ``z0``.

    Raises:
        InputError: peft is not installed.
        Diverged: the loss is no longer finite.
    """
    costs = costs or Costs()
    with _seeded(seed):
        tuned, network = adapted(backbone, rank, alpha=rank)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    condition, draw = Embedder(backbone, 0.0, seconds)(prompt), generator(seed, 1)
    highest, lowest = (float(backbone.sigmas(2)[k]) for k in (0, 1))
    span = math.log(highest / lowest)
    optimizer = torch.optim.Adam(trained, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    def loss(item: Tensor, sigma: float, noise: Tensor) -> Tensor:
        costs.network_forward += len(item)
        costs.network_calls += 1
        clean = tuned.denoise(item + sigma * noise, sigma, condition)
        return (1 + sigma**-2) * (clean - item).square().mean()

    def excerpt(start: float) -> slice:
        length = min(window or z0.shape[2], z0.shape[2])
        first = round(start * (z0.shape[2] - length))
        return slice(first, first + length)

    def normal(like: Tensor, source: torch.Generator) -> Tensor:
        return torch.randn(like.shape, generator=source, dtype=torch.float32).to(like)

    def measure() -> float:
        values = []
        for number in range(PROBES):
            item = z0[number % len(z0)][None][:, :, excerpt(number / PROBES)]
            sigma = lowest * math.exp(span * (number + 0.5) / PROBES)
            values.append(float(loss(item, sigma, normal(item, generator(seed, 2, number)))))
        return sum(values) / len(values)

    losses, best, failures = list[float](), trained_weights(network), 0
    for step in range(steps + 1):
        if step % 25 == 0 or step == steps:
            with torch.no_grad():
                losses.append(measure())
            if not math.isfinite(losses[-1]):
                raise Diverged(f"fine-tuning diverged at step {step}; a lower rate would help")
            if losses[-1] <= min(losses):
                best = trained_weights(network)
            better = len(losses) < 2 or losses[-1] < (1 - GAIN) * min(losses[:-1])
            failures = 0 if better else failures + 1
            if failures > patience or step == steps:
                break
        place, start, which = torch.rand(3, generator=draw).tolist()
        # Noise levels follow the golden ratio, so that any few of them are spread over all.
        sigma = lowest * math.exp(span * ((step * 0.618034 + place / 10) % 1))
        item = z0[int(which * len(z0))][None][:, :, excerpt(start)]
        optimizer.zero_grad(set_to_none=True)
        loss(item, sigma, normal(item, draw)).backward()
        costs.network_backward += 1
        optimizer.step()
        schedule.step()
        tick((step + 1) / steps)
    tick(1.0)
    return Adapter(best, rank, float(rank), prompt, identity(backbone), tuple(losses))
