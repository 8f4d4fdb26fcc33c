"""Measures of a prior by itself: its round trip, its denoiser, and its free samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio import level
from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.metrics.lsd import lsd
from diffmusic.metrics.mel_l1 import mel_l1
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.prior import Prior
from diffmusic.solver.contract import Step
from diffmusic.solver.noise import generator, normal
from diffmusic.solver.steps import transition, uncertainty

_ITERATIONS = 6
_REACH = 0.01
"""Length of the finite difference, root mean square, in units of sigma."""


def scaled(clip: np.ndarray, backbone: Backbone) -> Tensor:
    """Return a clip, (channels, time), at the level that the prior knows, (1, channels, time)."""
    x = torch.from_numpy(clip).to(backbone.device).float()[None]
    return x / level.gain(x.square().mean((1, 2), keepdim=True))


def log_mel(audio: np.ndarray | Tensor, rate: int) -> np.ndarray:
    """Return the log-mel of the mean of the channels of audio (channels, time), (frames, bands), nats."""
    mono = torch.as_tensor(audio).detach().cpu().float().mean(0, keepdim=True)
    mel: np.ndarray = LogMel(MelSpec.at(rate))(mono)[0].numpy()
    return mel


def flux(mel: np.ndarray) -> float:
    """Return ``mean |M[t + 1] - M[t]|`` of a log-mel, (frames, bands), nats: what changes from frame to frame."""
    return float(np.abs(np.diff(mel, axis=0)).mean())


@torch.no_grad()
def round_trip(backbone: Backbone, clips: Sequence[np.ndarray]) -> dict[str, float]:
    """Measure what encoder and decoder leave of clips, (channels, time): the ceiling of every restoration.

    Returns:
        ``mel_l1``, nats, and ``lsd``, both the mean over clips, and ``flux``, over the clips' own.
    """
    rows = []
    for clip in clips:
        x = scaled(clip, backbone)
        back = backbone.decode(backbone.encode(x), x.shape[-1])[0].cpu().double().numpy()
        true, rate = x[0].cpu().double().numpy(), backbone.sample_rate
        change = flux(log_mel(back, rate)) / max(flux(log_mel(true, rate)), 1e-12)
        rows.append((mel_l1(true, back, rate), lsd(true, back, rate), change))
    return dict(zip(("mel_l1", "lsd", "flux"), map(float, np.mean(rows, 0)), strict=True))


@dataclass(frozen=True)
class LevelReport:
    """The denoiser ``D`` at one noise level, the mean over clips.

    Attributes:
        sigma: The noise level.
        error: ``rms(D(z_0 + sigma n) - z_0)``.
        claimed: The same as the denoiser itself tells it, ``sqrt(max(0, sigma^2 - |z - D|^2 / dim))``. A posterior
            mean claims what it errs.
        eigenvalue: The largest of the Jacobian ``J = dD/dz``; 1 at most for a posterior mean of a Gaussian.
        asymmetry: ``|J v - J^T v| / |J^T v|`` of noise ``v``; 0 for a posterior mean, 1.4 for unrelated matrices.
    """

    sigma: float
    error: float
    claimed: float
    eigenvalue: float
    asymmetry: float


def denoising(backbone: Backbone, latents: Sequence[Tensor], sigma: float) -> LevelReport:
    """Measure the denoiser at a noise level, without a prompt.

    The eigenvalue is the Rayleigh quotient after six products of power iteration with ``J^T``, by vector-Jacobian
    products; ``J v`` for the symmetry is a central difference.

    Args:
        backbone: The model.
        latents: Clean latents, (1, ...).
        sigma: The noise level.
    """
    rows, condition = [], backbone.embed(None)
    for number, clean in enumerate(latents):
        draws = [normal(clean.shape[1:], [generator(0, number, part)], clean) for part in range(2)]
        z = (clean + sigma * draws[0]).requires_grad_()
        with torch.enable_grad():
            denoised = backbone.denoise(z, sigma, condition)

        def transposed(v: Tensor, denoised: Tensor = denoised, z: Tensor = z) -> Tensor:
            return torch.autograd.grad(denoised, z, v, retain_graph=True)[0]

        probe, reach = draws[1], _REACH * sigma
        with torch.no_grad():
            ahead, behind = (backbone.denoise(z + side * probe, sigma, condition) for side in (reach, -reach))
        back = transposed(probe)
        asymmetry = float(((ahead - behind) / (2 * reach) - back).norm() / back.norm().clamp(min=1e-30))
        v, eigenvalue = probe / probe.norm(), 0.0
        for _ in range(_ITERATIONS):
            product = transposed(v)
            eigenvalue = float((v * product).sum())
            v = product / product.norm().clamp(min=1e-30)
        error = float((denoised.detach() - clean).square().mean())
        claimed = float(uncertainty(z.detach(), denoised.detach(), sigma))
        rows.append((error, claimed, eigenvalue, asymmetry))
    error, claimed, eigenvalue, asymmetry = map(float, np.mean(rows, 0))
    return LevelReport(sigma, error**0.5, claimed**0.5, eigenvalue, asymmetry)


@torch.no_grad()
def free_sample(backbone: Backbone, samples: int, steps: int, seed: int) -> Tensor:
    """Draw audio from the prior alone, without a prompt: DDPM with the variance that a coarse walk would lose.

    Returns:
        Audio, (channels, samples).
    """
    prior = Prior(backbone, samples, Costs(), (backbone.embed(None),))
    draw = generator(seed)
    sigmas = backbone.sigmas(steps).tolist()
    start = torch.zeros(1, *prior.latent_shape, device=backbone.device)

    def noise(like: Tensor) -> Tensor:
        return normal(like.shape[1:], [draw], like)

    z = sigmas[0] * noise(start)
    for index, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        step = Step(index, sigma, sigma_next, None, prior, noise)  # type: ignore[arg-type]  # nothing was measured
        clean = prior.denoise(z, sigma)
        z = transition(z, clean, step, 1.0, uncertainty(z, clean, sigma))
    return prior.decode(z)[0]
