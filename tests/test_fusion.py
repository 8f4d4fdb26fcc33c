"""The solver ``fusion`` against Algorithm 1 as printed, in the paper's own symbols and float64."""

import dataclasses
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.prior import Costs
from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.guidance import Text
from diffmusic.testing import run_checks
from diffmusic.testing.editors import UP, task, text_prior
from diffmusic.testing.oracle import GaussianPrior
from diffmusic_solvers import fusion
from diffmusic_solvers.fusion import Fusion
from tests.mutation import changed
from tests.test_unconditioned_inversion import recursion, ve, vp

DIM = 12
LEVELS = (20.0, 9.0, 5.0, 2.5, 1.2, 0.5, 0.2, 0.0)
MIXING = torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 3


def normal(seed: int) -> Tensor:
    return torch.randn(2, 1, DIM, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def epsilon(x: Tensor, level: float, psi: float) -> Tensor:
    """The network under a prompt, with no likeness to a denoiser."""
    return torch.tanh(x @ MIXING + psi) * (0.5 + 0.1 * level)


class Toy(GaussianPrior):
    """The network in the frame; ``alpha`` is that of its schedule."""

    schedule = staticmethod(vp)

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        alpha, _ = self.schedule(sigma)
        return z - sigma * epsilon(alpha * z, sigma, condition)


class Exploding(Toy):
    schedule = staticmethod(ve)


def given(kind: type[Toy]) -> Edit:
    prior = kind(torch.zeros(DIM).double(), torch.eye(DIM).double())
    return Edit(
        normal(50),
        LEVELS,
        Text((0.0,)),
        (Text((0.7,), -0.4, 1.5),),
        Denoiser(prior, Costs()),
        lambda k: normal(100 + k),
    )


def algorithm_1(injected: dict[int, Tensor], kind: type[Toy], order: int, sampler: str, reset: bool = False) -> Tensor:
    """Lines of the paper: ``x`` at ``i``, eq. 5, CFG, then eq. 2 (or 7) of first or second order; returns ``x_0``."""
    schedule = kind.schedule
    x, before = LEVELS[0] * schedule(LEVELS[0])[0] * normal(100), None
    for i, (level, level_next) in enumerate(pairwise(LEVELS)):
        (alpha, sigma), (alpha_n, sigma_n) = schedule(level), schedule(level_next)
        if i in injected:
            x = injected[i]
            before = None if reset else before
        eps = 1.5 * epsilon(x, level, 0.7) + (1 - 1.5) * epsilon(x, level, -0.4)
        clean = (x - sigma * eps) / alpha
        if level_next == 0:
            return clean
        h = math.log(alpha_n / sigma_n) - math.log(alpha / sigma)
        estimate = clean
        if order == 2 and before is not None:
            r = (math.log(alpha / sigma) - before[0]) / h
            estimate = clean + (clean - before[1]) / (2 * r)
        if sampler == "sde":
            x = sigma_n / sigma * math.exp(-h) * x + alpha_n * (1 - math.exp(-2 * h)) * estimate
            x = x + sigma_n * math.sqrt(1 - math.exp(-2 * h)) * normal(100 + i + 1)
        else:
            x = sigma_n / sigma * x - alpha_n * (math.exp(-h) - 1) * estimate
        before = (math.log(alpha / sigma), clean)
    raise AssertionError


CASES: dict[str, tuple[Fusion, type[Toy], int, str]] = {
    "the paper's: order 2, SDE, exploding": (Fusion(level=2.5, reset=False), Exploding, 2, "sde"),
    "order 1": (Fusion(level=2.5, order=1), Exploding, 1, "sde"),
    "ODE, preserving": (Fusion(level=2.5, reset=False, sampler="ode", inversion="ode", start=0.2), Toy, 2, "ode"),
    "SDE, preserving": (Fusion(level=1.2, reset=False, inversion="sde", start=0.2), Toy, 2, "sde"),
    "history reset": (Fusion(level=2.5, reset=True), Exploding, 2, "sde"),
    "at the top": (Fusion(level=100, reset=False), Exploding, 2, "sde"),
}


def deviation(module: Any, name: str) -> float:
    solver, kind, order, sampler = CASES[name]
    levels = sorted(LEVELS)[1:]
    x = recursion(normal(50), levels, kind.schedule, solver.inversion)
    index = min(range(7), key=lambda k: abs(math.log(LEVELS[k] / solver.level)))
    injected = {index: x[levels.index(LEVELS[index])]}
    expected = algorithm_1(injected, kind, order, sampler, solver.reset)
    made = module.Fusion(**dataclasses.asdict(solver)).edit(given(kind))
    return float((made - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", CASES)
def test_it_is_algorithm_1(name: str) -> None:
    assert deviation(fusion, name) < 1e-6  # the recursion's own rounding, at float64


MUTANTS = [
    ("the paper's: order 2, SDE, exploding", "if index == entry:", "if index == entry + 1:"),
    ("the paper's: order 2, SDE, exploding", "() if self.reset else history", "()"),
    ("the paper's: order 2, SDE, exploding", "task.denoise(z, sigma,", "task.denoise(z, sigma_next,"),
    ("history reset", "() if self.reset else history", "history"),
    ("SDE, preserving", "self.start or None", "None"),
    ("ODE, preserving", 'if self.sampler == "sde" else None', ""),
]


@pytest.mark.parametrize(("name", "right", "wrong"), MUTANTS)
def test_a_mistake_is_noticed(name: str, right: str, wrong: str) -> None:
    # Where the reset is not the reason to leave the levels above out.
    only = ("(self.reset or self.order == 1)", "(self.order == 1)") if name == "history reset" else ()
    mutant = changed(fusion, *only, right, wrong)
    assert deviation(mutant, name) > 1e-3


@pytest.mark.parametrize("name", ["history reset", "order 1"])
def test_levels_that_cannot_be_heard_are_not_walked(name: str) -> None:
    solver, kind, *_ = CASES[name]
    asked = given(kind)
    solver.edit(asked)
    assert asked.denoise.costs.network_forward == 2 * 2 * 4  # items, passes of guidance, levels from 2.5 down
    dataclasses.replace(solver, reset=False, order=2).edit(whole := given(kind))
    assert whole.denoise.costs.network_forward == 2 * 2 * 7


def test_level_0_is_the_original_and_inf_the_reference() -> None:
    asked = given(Exploding)
    assert torch.equal(Fusion(level=0).edit(asked), asked.z0)
    assert asked.denoise.costs.network_forward == 0
    other = dataclasses.replace(asked, z0=normal(51))
    assert torch.equal(Fusion(level=math.inf).edit(asked), Fusion(level=math.inf).edit(other))
    assert not torch.equal(Fusion(level=2.5).edit(asked), Fusion(level=2.5).edit(other))


@pytest.mark.parametrize(
    ("level", "entry"), [(50, 0), (20, 0), (14, 0), (13, 1), (1.2, 4), (0.2, 6), (0.15, 6), (0.1, 7), (0, 7)]
)
def test_the_nearest_level_is_taken(level: float, entry: int) -> None:
    assert Fusion(level=level).entry(LEVELS) == entry


def test_on_a_gaussian_the_fusion_goes_from_the_original_to_the_reference() -> None:
    """The higher the level, the less is left of the original."""
    asked = task((UP,), strength=20.0, steps=40, items=8)
    moved = []
    for level in (0.0, 0.1, 0.5, 2.0, 8.0, math.inf):
        z = Fusion(level=level).edit(asked)
        moved.append(float((z - asked.z0).square().mean().sqrt()))
    assert moved == sorted(moved)
    assert moved[0] == 0


@pytest.mark.parametrize("injected", ["inverted", "diffused", "stochastic"])
@pytest.mark.parametrize("order", [1, 3])
def test_every_way_in_keeps_the_contract(injected: Any, order: Any) -> None:
    results = run_checks("solver", Fusion(3.0, injected=injected, order=order))
    # The noise that the paper's third case keeps has the wrong sign and size: it leads anywhere, which is its point.
    excused = {"reaches the target"} if injected == "stochastic" else set()
    assert {result.name for result in results if not result.passed} <= excused


def test_diffused_is_what_the_network_was_trained_to_see() -> None:
    """On a Gaussian, a latent with the noise of its level leads to a sample of the prior; the clean one to less."""
    prior = text_prior()
    for injected, low, high in (("diffused", 0.9, 1.1), ("inverted", 0.4, 0.97)):
        asked = task((Text(),), strength=20.0, steps=60, items=400, batch=400, prior=prior)
        noises = lambda k, like=asked.z0: torch.randn(  # noqa: E731
            like.shape, generator=torch.Generator().manual_seed(k), dtype=torch.float64
        )
        z = Fusion(level=2.0, injected=injected, order=1).edit(dataclasses.replace(asked, noise=noises))  # type: ignore[arg-type]
        ratio = float(z.var(0).mean() / prior.covariance.diagonal().mean())
        assert low < ratio < high, (injected, ratio)
