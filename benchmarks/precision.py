"""What half precision does to estimates and gradients, on the mini prior (trained weights) and one clip.

    python -m benchmarks.precision

``network``: the relative error of ``D`` when the network alone computes in that dtype, and the cosine between the
gradients of the log-mel misfit through network and decoder (``dps``) and their float32 counterpart. ``decoder``: the
cosine when the VAE computes in that dtype instead, network left out (``diffmusic``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor

from diffmusic.audio.resample import resample
from diffmusic.backbones.envelope import follow
from diffmusic.backbones.musicldm import mini
from diffmusic.solver.noise import generator, normal

CLIP = Path(__file__).parents[1] / "examples" / "clip.flac"
LENGTH = 40960
SIGMAS = (20.0, 5.0, 1.0, 0.2)


def clip(rate: int) -> Tensor:
    """An excerpt at -20 dBFS, (1, 1, time)."""
    audio, own = soundfile.read(CLIP, always_2d=True)
    x = torch.from_numpy(resample(audio.T.mean(0)[None], own, rate)).float()[None, :, 48000 : 48000 + LENGTH]
    return 0.1 * x / x.square().mean().sqrt()


def gradient(prior: Any, target: Tensor, variable: Tensor, sigma: float | None) -> tuple[Tensor, Tensor]:
    """The clean latent, and the gradient of the misfit of what it decodes to; through the network at a sigma."""
    leaf = variable.clone().requires_grad_()
    clean = leaf if sigma is None else prior.denoise(leaf, sigma, prior.embed(None))
    part = next(prior.vae.parameters()).dtype
    mel = prior.vae.decode((clean / prior.vae.config.scaling_factor).to(part)).sample.squeeze(1).float()
    with torch.no_grad():
        audio = prior.vocoder(mel)
    audio = follow(audio, mel, prior.log_mel)[:, None, :LENGTH]
    (found,) = torch.autograd.grad((prior.mel(audio) - target).square().sum(), leaf)
    return clean.detach(), found.float()


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def main() -> None:
    full = mini()
    x = clip(full.sample_rate)
    target = full.mel(x)
    with torch.no_grad():
        z = full.encode(x)
    noise = normal(z.shape[1:], [generator(0)], z)
    exact = {sigma: gradient(full, target, z + sigma * noise, sigma) for sigma in SIGMAS}
    decoded = {sigma: gradient(full, target, exact[sigma][0], None)[1] for sigma in SIGMAS}
    print("| dtype | sigma | error of D, network | cosine, network | cosine, decoder |\n|---|---|---|---|---|")
    for name in ("bfloat16", "float16"):
        network, decoder = mini(dtype=name), mini()
        decoder.vae.to(getattr(torch, name))
        for sigma in SIGMAS:
            clean, found = gradient(network, target, z + sigma * noise, sigma)
            error = float((clean - exact[sigma][0]).norm() / exact[sigma][0].norm())
            through = gradient(decoder, target, exact[sigma][0], None)[1]
            cosines = cosine(found, exact[sigma][1]), cosine(through, decoded[sigma])
            print(f"| {name} | {sigma:g} | {error:.4f} | {cosines[0]:.4f} | {cosines[1]:.4f} |", flush=True)


if __name__ == "__main__":
    main()
