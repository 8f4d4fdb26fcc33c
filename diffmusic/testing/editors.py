"""Contract checks for editors."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffmusic.editor.contract import AudioEditor, Edit, Editor, Region
from diffmusic.prior.backbone import Costs
from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.guidance import Text
from diffmusic.prior.levels import levels
from diffmusic.solver.noise import generator
from diffmusic.testing.checks import Check, frozen, relative
from diffmusic.testing.oracle import GaussianPrior

DIM = 32


@dataclass(frozen=True, eq=False)
class TextPrior(GaussianPrior):
    """Gaussian prior with prompts: a condition is a vector, (dim,), that shifts the mean."""

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        if condition is None:
            return super().denoise(z, sigma)
        moved: Tensor = super().denoise(z - condition, sigma) + condition
        return moved


def text_prior(dim: int = DIM) -> TextPrior:
    """Return a prior with mean 0 whose neighbouring samples are correlated by 0.8."""
    place = torch.arange(dim, dtype=torch.float64)
    return TextPrior(torch.zeros(dim, dtype=torch.float64), 0.8 ** (place[:, None] - place).abs())


def task(
    targets: tuple[Text, ...],
    source: Text | None = None,
    items: int = 1,
    strength: float = 3.0,
    steps: int = 12,
    seed: int = 0,
    batch: int = 1,
    prior: GaussianPrior | None = None,
    **more: Any,
) -> Edit:
    """Build an edit on a Gaussian prior, float64, whose items are different draws from it."""
    prior = prior or text_prior()
    dim = len(prior.mean)
    root = torch.linalg.cholesky(prior.covariance)
    draws = [torch.randn(1, dim, generator=generator(99, item), dtype=torch.float64) for item in range(items)]
    z0 = prior.mean + torch.stack(draws) @ root.T

    def noise(number: int) -> Tensor:
        return torch.randn(1, dim, generator=generator(seed, number), dtype=torch.float64).expand_as(z0)

    sigmas = levels(prior, strength, steps)
    return Edit(z0, sigmas, source or Text(), targets, Denoiser(prior, Costs(), batch), noise, frame_rate=8.0, **more)


def editor_checks(editor: Any) -> list[Check]:
    """Return the checks of an editor; one with a model of its own is not run."""
    if isinstance(editor, AudioEditor):
        return [_audio_editor]
    return [_editor_contract, _pure, _rows_alone, _reaches_the_target, _regions]


UP, DOWN = (Text((sign * torch.ones(DIM, dtype=torch.float64),)) for sign in (1.0, -1.0))


def _editor_contract(editor: Any) -> str:
    assert isinstance(editor, Editor), "it has no method edit"
    frozen(editor)
    return "frozen dataclass"


def _audio_editor(editor: Any) -> str:
    frozen(editor)
    return "frozen dataclass with a model of its own"


def _pure(editor: Any) -> str:
    given = task((UP,))
    before = given.z0.clone()
    first, again = editor.edit(given), editor.edit(given)
    assert torch.equal(given.z0, before), "it changed the latents it was given"
    assert first.shape == given.z0.shape, f"one target of {tuple(before.shape)} became {tuple(first.shape)}"
    assert bool(torch.isfinite(first).all()), "the result is not finite"
    assert torch.equal(first, again), "the same task gives different results"
    return "pure, repeatable, finite"


def _rows_alone(editor: Any) -> str:
    both = editor.edit(task((UP, DOWN), items=2))
    assert len(both) == 4, f"two targets of two items became {len(both)} results"
    alone = torch.cat([editor.edit(task((text,), items=2)) for text in (UP, DOWN)])
    different = relative(both, alone)
    assert different < 1e-9, f"a target among others differs from the target alone by {different:.1e}"
    mono = task((UP,))
    stereo = editor.edit(
        dataclasses.replace(mono, z0=mono.z0.repeat(2, 1, 1), noise=lambda k: mono.noise(k).repeat(2, 1, 1))
    )
    different = relative(stereo, editor.edit(mono).repeat(2, 1, 1))
    assert different < 1e-9, f"equal channels do not stay what each would be alone: {different:.1e}"
    return "targets alone, equal channels equal"


def _reaches_the_target(editor: Any) -> str:
    given = task((UP,), DOWN)
    moved = float((editor.edit(given) - given.z0).mean())
    # The means of the two texts are 2 apart.
    assert moved > 0.2, f"from a source at -1 to a target at 1 it moves by {moved:.2f}"
    return f"moves by {moved:.2f} where the texts are 2 apart"


def _regions(editor: Any) -> str:
    mask = torch.zeros(DIM)
    mask[8:16] = 1
    given = task((UP,), DOWN)
    z = editor.edit(dataclasses.replace(given, regions=(Region(mask, given.sigmas[0]),)))
    outside = float((z - given.z0)[..., mask == 0].abs().max())
    assert outside < 1e-9, f"outside of a region that is held, latents change by {outside:.1e}"
    inside = float((z - given.z0)[..., mask == 1].abs().max())
    assert inside > 1e-3, "inside of the region nothing changes"
    return f"changes by {inside:.2f} inside, by {outside:.0e} outside"
