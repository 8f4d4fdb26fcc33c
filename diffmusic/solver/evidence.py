"""What a measurement says of the latents, and of which of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, max_pool2d

from diffmusic.errors import InputError
from diffmusic.prior.prior import Prior
from diffmusic.problem.filling import NO_PLACE, filling
from diffmusic.problem.problem import Guess, Problem
from diffmusic.solver.contract import Step

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
    deviation: ``rho``, of the guess where nothing is known, (batch, 1, ...): it stands for ``z_0 + rho n``. Infinite,
    or None for everywhere, where it says nothing.
    """

    latents: Tensor
    known: Tensor
    deviation: Tensor | None = None

    def weight(self, error: float) -> Tensor:
        """``w = r / sqrt(r^2 + rho^2)``, (batch, 1, ...): 1 where the latents are known, to ``error`` ``r``, and 0
        where nothing is. ``w z_y = w z_0 + r n``: so weighted, all of it has the same error."""
        if self.deviation is None:
            return self.known
        guessed = error / (error**2 + self.deviation.square()).sqrt()
        return torch.where(self.known > 0, self.known, guessed)

    def put(self, moved: Tensor, step: Step) -> Tensor:
        """Put what is known into ``z'``, and the guess as long as the noise hides its error:

            z_y + sqrt(sigma'^2 - rho^2) n      where rho <= sigma',  rho = 0 where the latents are known
            moved                               elsewhere

        At the last level the guess has no part any more.
        """
        if step.sigma_next == 0:
            return self.join(moved, self.latents)
        if self.deviation is None:
            return self.join(moved, self.latents + step.sigma_next * step.noise(moved))
        rho = torch.where(self.known > 0, 0.0, self.deviation)
        spread = (step.sigma_next**2 - rho.square()).clamp(min=0).sqrt()
        return torch.where(rho <= step.sigma_next, self.latents + spread * step.noise(moved), moved)

    def join(self, inside: Tensor, outside: Tensor) -> Tensor:
        """``inside`` where the latents are unknown, ``outside`` where they are known; exact in both."""
        return torch.where(self.known > 0, outside, inside)

    def uncertainty(self, z: Tensor, denoised: Tensor, sigma: float) -> Tensor:
        """``v = max(0, sigma^2 - |z - D|^2 / dim)`` over what is unknown, one value an item (``solver.steps``); with a
        guess its mean is that of ``1 / (1 / v + 1 / rho^2)``."""
        free = (1 - self.known).expand_as(z).flatten(1)
        count = free.sum(1).clamp(min=1)
        residual = (free * (z - denoised).square().flatten(1)).sum(1) / count
        variance = (sigma**2 - residual).clamp(min=0)
        if self.deviation is None:
            return variance
        share = 1 / (1 + variance[:, None] / self.deviation.square().expand_as(z).flatten(1).clamp(min=1e-12))
        return variance * (free * share).sum(1) / count


def evidence(problem: Problem, prior: Prior) -> Evidence:
    """Encode two fillings of the damage; where they make no difference the latents are what was measured:

        z_y = Enc(x + v),   known = rms_c(z_y - Enc(x + 0.2 v)) < 0.3 std(z_y)

    ``x`` is what was measured and ``v`` fills the rest (``diffmusic.problem.filling``); the root mean square is over
    the latent's channels, the deviation over one item. It asks the encoder itself how far it sees, so it serves any
    backbone, and losses of time, of a band or of both. A difference in level shows more of what is unknown than one in
    content, which two fillings may share by chance. Where that leaves all or next to nothing known, those latents are
    that differ by less than half of what the most do. Costs two passes of the encoder for each different measurement.

    A guess at what is lost (``Guess``) changes nothing of what is known; it gives the latents and their deviation where
    nothing is, for one pass more.

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
        deviation = None
        if different.guess is not None:
            likely = x + v
            for start, stop, rho in different.guess.spans:
                if rho < math.inf:
                    likely[..., start:stop] = different.guess.audio[..., start:stop]
            latents = prior.encode(likely)
            deviation = _deviation(different.guess, known, prior.samples)[place]
        return Evidence(latents[place], known[place], deviation)


def _deviation(guess: Guess, known: Tensor, samples: int) -> Tensor:
    """Of the guess nearest to each frame of the latents, of the shape of ``known``."""
    frames = known.shape[2]
    centres = (torch.arange(frames, dtype=torch.float64) + 0.5) * samples / frames
    spans = torch.tensor([[start, stop] for start, stop, _ in guess.spans], dtype=torch.float64)
    outside = torch.maximum(spans[:, :1] - centres, centres - spans[:, 1:]).clamp(min=0)
    rho = torch.tensor([each for _, _, each in guess.spans], dtype=torch.float64)[outside.argmin(0)]
    return rho.to(known).reshape(1, 1, frames, *[1] * (known.ndim - 3)).expand_as(known)


def _closed(mask: Tensor) -> Tensor:
    """A mask, (batch, 1, ...), with holes of up to two places filled: where the fillings agree by chance. Outer edges
    stay (morphological closing)."""
    pool = {1: max_pool1d, 2: max_pool2d}[mask.ndim - 2]
    return -pool(-pool(mask, 3, 1, 1), 3, 1, 1)


def _different(problem: Problem) -> tuple[Problem, Tensor]:
    """The problem with equal items once, and where each item is in it: posterior samples share their measurement."""
    items, gain, guess = problem.measured, problem.gain, problem.guess
    key = [items, *([] if isinstance(gain, float) else [gain.to(items)]), *([guess.audio] if guess else [])]
    rows, place = torch.unique(torch.cat([each.flatten(1) for each in key], 1), dim=0, return_inverse=True)
    first = torch.stack([(place == row).nonzero()[0, 0] for row in range(len(rows))])
    gain = gain if isinstance(gain, float) else gain[first]
    guess = replace(guess, audio=guess.audio[first]) if guess else None
    return replace(problem, measured=items[first], gain=gain, guess=guess), place
