"""Contract checks for backbones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from diffmusic.prior.backbone import Backbone, LatentModel
from diffmusic.solver.noise import generator
from diffmusic.testing.checks import Check, lacking, relative


def backbone_checks(backbone: Any) -> list[Check]:
    """Return the checks of a backbone."""
    return [_backbone_contract, _levels, _round_trip, _gradient, _identity_without_noise, _items_alone]


def _backbone_contract(backbone: Any) -> str:
    contract = Backbone if _of_audio(backbone) else LatentModel
    missing = lacking(backbone, dict.fromkeys(_members(LatentModel) + _members(contract)))
    assert not missing, f"it lacks {', '.join(missing)}"
    return f"all members of diffmusic.prior.{contract.__name__}"


def _members(contract: type) -> list[str]:
    return [name for name in vars(contract) if not name.startswith("_")]


def _of_audio(backbone: Any) -> bool:
    """Whether it has anything that a backbone of audio has and a model of other signals has not."""
    return len(lacking(backbone, _members(Backbone))) < len(_members(Backbone))


def _levels(backbone: Any) -> str:
    sigmas = backbone.sigmas(20)
    assert len(sigmas) == 21, f"20 steps have {len(sigmas)} levels, not 21"
    assert float(sigmas[-1]) == 0, f"the last level is {float(sigmas[-1]):g}, not 0"
    assert bool((sigmas.diff() < 0).all()), "the levels do not decrease"
    return f"from {float(sigmas[0]):.3g} down to {float(sigmas[-2]):.3g}, then 0"


def _signal(backbone: Any, samples: int, batch: int = 1) -> Tensor:
    tone = torch.sin(torch.arange(samples) * 0.17)
    noise = torch.randn(batch, backbone.channels, samples, generator=generator(0))
    return (0.2 * tone + 0.02 * noise).to(backbone.device)


def _round_trip(backbone: Any) -> str:
    for samples in (1600, 8191, backbone.sample_rate if _of_audio(backbone) else 8000):
        x = _signal(backbone, samples)
        with torch.no_grad():
            z = backbone.encode(x)
            shape = (1, *backbone.latent_shape(samples))
            assert tuple(z.shape) == shape, f"{samples} samples encode to {tuple(z.shape)}, not {shape}"
            back = backbone.decode(z, samples)
        assert back.shape == x.shape, f"{samples} samples decode to {tuple(back.shape)}"
        assert bool(torch.isfinite(back).all()), f"{samples} samples do not decode to finite numbers"
    return f"1600 to {'a second of' if _of_audio(backbone) else 8191} samples"


def _latents(backbone: Any, batch: int) -> Tensor:
    shape = backbone.latent_shape(8000)
    return torch.stack([torch.randn(shape, generator=generator(seed)) for seed in range(batch)]).to(backbone.device)


def _gradient(backbone: Any) -> str:
    z = _latents(backbone, 1).requires_grad_()
    mel = _of_audio(backbone)
    decoded = backbone.decode(z, 8000)
    (gradient,) = torch.autograd.grad((backbone.mel(decoded) if mel else decoded).square().mean(), z)
    through = "decoder and mel" if mel else "the decoder"
    assert bool(torch.isfinite(gradient).all()), f"the gradient through {through} is not finite"
    assert float(gradient.norm()) > 0, "no gradient reaches the latent"
    return f"norm {float(gradient.norm()):.2g} through {through}"


def _identity_without_noise(backbone: Any) -> str:
    z, low = _latents(backbone, 1), float(backbone.sigmas(20)[-2])
    with torch.no_grad():
        condition = backbone.embed(None)
        errors = [relative(backbone.denoise(z, sigma, condition), z) for sigma in (low, low / 100)]
    assert errors[1] < 0.01, f"denoise at sigma {low / 100:.2g} moves the latent by {errors[1]:.2g} of its norm"
    return f"moves by {errors[0]:.1e} at sigma {low:.2g}, {errors[1]:.1e} at a hundredth of it"


def _items_alone(backbone: Any) -> str:
    z = _latents(backbone, 2)
    with torch.no_grad():
        condition = backbone.embed(None)
        together = torch.cat([backbone.denoise(z, 1.0, condition).flatten(), backbone.decode(z, 8000).flatten()])
        alone = [
            torch.cat([backbone.denoise(z[i : i + 1], 1.0, condition) for i in range(2)]).flatten(),
            torch.cat([backbone.decode(z[i : i + 1], 8000) for i in range(2)]).flatten(),
        ]
    different = relative(together, torch.cat(alone))
    assert different < 1e-4, f"an item in a batch differs from the item alone by {different:.1e}"
    return f"difference {different:.0e}"
