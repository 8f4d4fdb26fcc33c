"""What a measurement says of the latents, and of which of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, max_pool2d

from diffmusic.errors import InputError
from diffmusic.prior.prior import Prior
from diffmusic.problem.filling import NO_PLACE, filling
from diffmusic.problem.problem import Problem

CONTRAST = 0.2
"""Amplitude of the second filling, over the first's."""
TOLERANCE = 0.3
"""How far apart the encodings of both may be where the latents count as known, in deviations of the latents."""


LEAST = 0.05
"""The part of the latents that has to be known: with less, what was measured is no anchor."""


@dataclass(frozen=True)
class Evidence:
    """latents: ``z_y``, (batch, ...), measured where they are known and a first guess elsewhere.
    known: 1 where they are and 0 elsewhere, (batch, 1, ...), of their dtype; the channels of a place go together.
    """

    latents: Tensor
    known: Tensor

    def join(self, inside: Tensor, outside: Tensor) -> Tensor:
        """``inside`` where the latents are unknown, ``outside`` where they are known; exact in both."""
        return torch.where(self.known > 0, outside, inside)

    def uncertainty(self, z: Tensor, denoised: Tensor, sigma: float) -> Tensor:
        """``v = max(0, sigma^2 - |z - D|^2 / dim)`` over what is unknown, one value an item (``solver.steps``)."""
        free = (1 - self.known).expand_as(z).flatten(1)
        residual = (free * (z - denoised).square().flatten(1)).sum(1) / free.sum(1).clamp(min=1)
        return (sigma**2 - residual).clamp(min=0)


def evidence(problem: Problem, prior: Prior) -> Evidence:
    """Encode two fillings of the damage; where they make no difference the latents are what was measured:

        z_y = Enc(x + v),   known = rms_c(z_y - Enc(x + 0.2 v)) < 0.3 std(z_y)

    ``x`` is what was measured and ``v`` fills the rest (``diffmusic.problem.filling``); the root mean square is over
    the latent's channels, the deviation over one item. It asks the encoder itself how far it sees, so it serves any
    backbone, and losses of time, of a band or of both. A difference in level shows more of what is unknown than one in
    content, which two fillings may share by chance. Where that leaves all or next to nothing known, those latents are
    that differ by less than half of what the most do. Costs two passes of the encoder for each different measurement.

    Raises:
        InputError: the operator's damage has no place in the latents.
    """
    with torch.no_grad():
        different, place = _different(problem)
        x, v = filling(different, prior.samples)
        latents, other = (prior.encode(x + share * v) for share in (1.0, CONTRAST))
        differs = (latents - other).square().mean(1, keepdim=True).sqrt()
        spread = latents.flatten(1).std(1).reshape(-1, *[1] * (latents.ndim - 1))
        known = 1 - _closed((differs >= TOLERANCE * spread).to(latents))
        share = known.flatten(1).mean(1).reshape(spread.shape)
        # An encoder that carries a loss everywhere, or a loss too short to be felt much: where it is felt most.
        most = differs.flatten(1).amax(1).reshape(spread.shape)
        odd = (most > 0) & ((share < LEAST) | (share == 1))  # silence has nothing to fill in
        known = torch.where(odd, 1 - _closed((differs >= 0.5 * most).to(latents)), known)
        if float(known.flatten(1).mean(1).min()) < LEAST:
            raise InputError(NO_PLACE)
        return Evidence(latents[place], known[place])


def _closed(mask: Tensor) -> Tensor:
    """A mask, (batch, 1, ...), with holes of up to two places filled: where the fillings agree by chance. Outer edges
    stay (morphological closing)."""
    pool = {1: max_pool1d, 2: max_pool2d}[mask.ndim - 2]
    return -pool(-pool(mask, 3, 1, 1), 3, 1, 1)


def _different(problem: Problem) -> tuple[Problem, Tensor]:
    """The problem with equal items once, and where each item is in it: posterior samples share their measurement."""
    items, gain = problem.measured, problem.gain
    key = items.flatten(1) if isinstance(gain, float) else torch.cat([items.flatten(1), gain.flatten(1).to(items)], 1)
    rows, place = torch.unique(key, dim=0, return_inverse=True)
    first = torch.stack([(place == row).nonzero()[0, 0] for row in range(len(rows))])
    return replace(problem, measured=items[first], gain=gain if isinstance(gain, float) else gain[first]), place
