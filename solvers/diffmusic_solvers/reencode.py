"""Hard data consistency: fit the decoded estimate to the data as audio, and encode the change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.solver import State, Step, fitted_audio, time_travel, transition, uncertainty


@dataclass(frozen=True)
class Reencode:
    """Data step in audio, without a gradient through the decoder: fit the estimate, and encode the change.

        D  = denoise(z, sigma),   x = Dec(D)
        x  <- x - 2 (L(x) - floor) / ||grad L||^2 grad L         L(x) = ||A x - y||^2, ``iterations`` times
        D* = D + Enc(x) - Enc(Dec(D))
        z' = D* + k (z - D*) / sigma + s n                       the transition of ``diffmusic.solver``

    z: latents, (batch, ...). For a quadratic ``L`` whose least value is ``floor`` the step, twice Polyak's, is the one
    along the gradient that most shortens the way to the solution; for a mask or a sum one is enough. It goes through
    ``A`` alone, and the parts that ``A`` does not measure stay as the prior made them. ``floor`` is the misfit that
    noise explains.

    ReSample minimises in the latent itself near the data, and encodes the audio as it is before that. The difference of
    two encodings is used here, because encoding the decoded audio does not give back the latent: where the fit changes
    nothing, ``D* = D`` exactly. ReSample weighs ``D*`` against ``z'``; here a move is repeated instead, as in
    ``diffmusic``, which lets the rest of the latent follow the change.

    It costs two encodings and one decoding a move, and no backward pass.

    Source: after B. Song et al., "ReSample", ICLR 2024, arXiv:2307.08123.
    """

    iterations: Annotated[int, Field(ge=1), Doc("data steps in audio at each move")] = 8
    repeats: Annotated[int, Field(ge=1), Doc("times each move between levels is made")] = 2
    eta: Annotated[float, Field(ge=0, le=1), Doc("fresh noise: 0 is DDIM, 1 is DDPM")] = 1.0

    def step(self, state: State, step: Step) -> State:
        return State(time_travel(self._move, state.z, step, self.repeats))

    def _move(self, z: Tensor, step: Step) -> Tensor:
        with torch.no_grad():
            clean = step.prior.denoise(z, step.sigma)
            audio = step.prior.decode(clean)
            fitted = fitted_audio(audio, step, self.iterations)
            consistent = clean + step.prior.encode(fitted) - step.prior.encode(audio)
        return transition(z, consistent, step, self.eta, uncertainty(z, clean, step.sigma))
