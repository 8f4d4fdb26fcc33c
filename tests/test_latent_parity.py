"""Solvers that take the latents as measured against their papers' variance-preserving formulas, in float64.

As in ``test_solver_parity``: the formulas are in ``x``, ``abar`` and ``eps``, and every mistake that is easy to make is
made in the solver's own source and has to fail the same comparison.
"""

import dataclasses
import importlib
import math
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from diffmusic.prior.backbone import Costs
from diffmusic.prior.prior import Prior
from diffmusic.problem import Problem
from diffmusic.solver import Evidence, State, Step, least_residual
from diffmusic.testing.oracle import Hole
from diffmusic_solvers import lanpaint, mmps, repaint
from tests.draws import normal
from tests.mutation import changed
from tests.test_solver_parity import ABARS, BATCH, DIM, Noises, Paper, Toy, network

evidence = importlib.import_module("diffmusic.solver.evidence")  # the package has a function of that name
KNOWN = torch.tensor([1, 1, 0, 0, 0, 1, 1, 1, 0, 1, 1, 1]).double().reshape(1, 1, DIM)
RHO = torch.tensor([0, 0, 0.2, 0.5, math.inf, 0, 0, 0, 3.0, 0, 0, 0]).double().reshape(1, 1, DIM)
"""Deviation of the guess where nothing is known; with ``GUESSED`` on it says something there."""
MEASURED = normal(11, BATCH, 1, DIM)


def replaced(p: Paper, x: Tensor, rho: Tensor | None = None) -> Tensor:
    """``m x_known + (1 - m) x_unknown`` with ``x_known ~ N(sqrt(abar) x_0, (1 - abar) I)``: RePaint, lines 4 and 8. Of
    a guess ``x_0 + rho n`` the noise has the variance ``1 - abar - abar rho^2``, as long as there is so much."""
    known, left = math.sqrt(p.abar_next) * MEASURED, (1 - p.abar_next) * torch.ones_like(KNOWN)
    if rho is not None:
        left = torch.where(KNOWN > 0, left, left - p.abar_next * rho.square())
    if p.abar_next < 1:
        known = known + left.clamp(min=0).sqrt() * p.noise(x)
    there = (KNOWN > 0) | ((rho is not None) & (left >= 0) & (p.abar_next < 1))
    return torch.where(there, known, x)


def paper_repaint(p: Paper, solver: repaint.RePaint) -> Tensor:
    """RePaint, Algorithm 1: lines 3 to 8, and the forward step between two of them."""
    x = p.x
    for again in range(solver.repeats if p.abar_next < 1 else 1):
        if again:
            alpha = p.abar / p.abar_next
            x = math.sqrt(alpha) * x + math.sqrt(1 - alpha) * p.noise(x)
        p = dataclasses.replace(p, x=x)
        x = replaced(p, p.ddim(p.clean(x), network(x, p.abar), solver.eta))
    return x


def paper_mmps(p: Paper, solver: mmps.MMPS) -> Tensor:
    """``E[x_0 | x_t, y] = D + V A^T (r^2 I + A V A^T)^-1 (y - A D)``, ``V = (1 - abar) / sqrt(abar) (dD/dx)^T``."""
    return _mmps(p, solver, torch.where(KNOWN > 0, 0.0, math.inf))


def paper_mmps_guessed(p: Paper, solver: mmps.MMPS) -> Tensor:
    """The same with ``A = I`` and a variance of its own for each measurement, ``r^2 + rho^2``."""
    return _mmps(p, solver, RHO)


def _mmps(p: Paper, solver: mmps.MMPS, rho: Tensor) -> Tensor:
    kept = (rho[0, 0] < math.inf).nonzero()[:, 0]
    variances = (solver.deviation**2 + rho[0, 0, kept].square()).diag()
    clean = p.clean(p.x)
    moved = clean.clone()
    for item in range(BATCH):
        slope = torch.autograd.functional.jacobian(lambda x: p.clean(x[None, None])[0, 0], p.x[item, 0])
        v = (1 - p.abar) / math.sqrt(p.abar) * slope.T
        inner = variances + v[kept][:, kept]
        weights = torch.linalg.solve(inner, (MEASURED - clean)[item, 0, kept])
        moved[item, 0] = clean[item, 0] + v[:, kept] @ weights
    eps = (p.x - math.sqrt(p.abar) * moved) / math.sqrt(1 - p.abar)
    return p.ddim(moved, eps, solver.eta)


def paper_repaint_guessed(p: Paper, solver: repaint.RePaint) -> Tensor:
    """RePaint of one pass with what a guess says."""
    return replaced(p, p.ddim(p.clean(p.x), network(p.x, p.abar), solver.eta), RHO)


def paper_lanpaint(p: Paper, solver: lanpaint.LanPaint) -> Tensor:
    """Overdamped Langevin dynamics of the scores ``s_x`` and ``g = (1 + w) s_y(y | y_0) - w s_y``, then a step down."""
    x, variance = p.x, 1 - p.abar
    for _ in range(solver.repeats):
        score = -network(x, p.abar) / math.sqrt(variance)
        held = (math.sqrt(p.abar) * MEASURED - x) / variance
        guided = (1 + solver.guidance) * held - solver.guidance * score
        time = variance * solver.rate
        free = x + time * score + math.sqrt(2 * time) * p.noise(x)
        time = time / (1 + solver.guidance)
        kept = x + time * guided + math.sqrt(2 * time) * p.noise(x)
        x = KNOWN * kept + (1 - KNOWN) * free
    p = dataclasses.replace(p, x=x)
    return replaced(p, p.ddim(p.clean(x), network(x, p.abar), solver.eta))


Case = tuple[Any, Callable[[Paper, Any], Tensor]]
GUESSED: dict[str, Case] = {
    "mmps": (mmps.MMPS(iterations=12, deviation=0.4, eta=0.7, analytic=False), paper_mmps_guessed),
    "repaint": (repaint.RePaint(repeats=1, eta=0.6, analytic=False), paper_repaint_guessed),
}
CASES: dict[str, Case] = {
    "repaint": (repaint.RePaint(repeats=1, analytic=False), paper_repaint),
    "repaint, three times": (repaint.RePaint(repeats=3, eta=0.6, analytic=False), paper_repaint),
    "mmps": (mmps.MMPS(iterations=8, deviation=0.4, eta=0.7, analytic=False), paper_mmps),
    "lanpaint": (lanpaint.LanPaint(repeats=2, rate=0.2, guidance=3.0, eta=0.7, analytic=False), paper_lanpaint),
}


def deviation(solver: Any, paper: Callable[[Paper, Any], Tensor], known: Any = None) -> float:
    """How far the solver's walk and the paper's come apart, relative to the paper's, at the worst level."""
    prior = Prior(Toy(torch.zeros(DIM).double(), torch.eye(DIM).double()), DIM, Costs())
    problem = Problem(Hole(2, 5), MEASURED)
    x = normal(7, BATCH, 1, DIM)
    known = known or Evidence(MEASURED, KNOWN.expand(BATCH, 1, DIM))
    state, ours, theirs = State(x / math.sqrt(ABARS[0]), known), Noises(), Noises()
    worst = 0.0
    for index, (abar, abar_next) in enumerate(pairwise(ABARS), start=1):
        sigma, sigma_next = (math.sqrt((1 - a) / a) for a in (abar, abar_next))
        state = solver.step(state, Step(index, sigma, sigma_next, problem, prior, ours))
        x = paper(Paper(x, abar, abar_next, index, theirs), solver)
        worst = max(worst, float((math.sqrt(abar_next) * state.z - x).norm() / x.norm()))
    return worst


@pytest.mark.parametrize("name", CASES)
def test_solver_walks_as_its_paper(name: str) -> None:
    assert deviation(*CASES[name]) < 1e-9


def guessed(module: Any = evidence) -> Any:
    """Evidence with a guess, of the module or of a mutant."""
    return module.Evidence(MEASURED, KNOWN.expand(BATCH, 1, DIM), RHO.expand(BATCH, 1, DIM))


@pytest.mark.parametrize("name", GUESSED)
def test_a_guess_counts_by_its_deviation(name: str) -> None:
    assert deviation(*GUESSED[name], guessed()) < 1e-9


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("mmps", "error / (error**2", "error / (error"),
        ("mmps", "+ self.deviation.square()).sqrt()", "+ self.deviation).sqrt()"),
        ("mmps", "torch.where(self.known > 0, self.known, guessed)", "self.known"),
        ("repaint", "sigma_next**2 - rho.square()", "sigma_next**2 + rho.square()"),
        ("repaint", "rho <= step.sigma_next", "rho >= step.sigma_next"),
        ("repaint", "torch.where(self.known > 0, 0.0, self.deviation)", "self.deviation + self.known"),
        ("repaint", "return self.join(moved, self.latents)", "return self.latents"),
    ],
)
def test_a_mistake_in_the_weight_of_a_guess_is_noticed(name: str, right: str, wrong: str) -> None:
    assert deviation(*GUESSED[name], guessed(changed(evidence, right, wrong))) > 1e-3


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("residual = weight * ", "residual = "), ("weight * v", "v"), ("weight * spread + ", "spread + ")],
)
def test_a_weight_that_is_forgotten_is_noticed(right: str, wrong: str) -> None:
    solver, paper = GUESSED["mmps"]
    mutant = changed(mmps, right, wrong).MMPS(**dataclasses.asdict(solver))
    assert deviation(mutant, paper, guessed()) > 1e-3


def test_known_latents_get_the_noise_of_the_next_level() -> None:
    wrong = changed(evidence, "latents + step.sigma_next * step", "latents + step.sigma * step")
    known = wrong.Evidence(MEASURED, KNOWN.expand(BATCH, 1, DIM))
    assert deviation(*CASES["repaint"], known) > 1e-3


MUTANTS = [
    (
        "repaint",
        "known.put(transition(z, clean, step, self.eta, variance), step)",
        "transition(z, clean, step, self.eta)",
    ),
    ("repaint", "denoise(z, step.sigma)", "denoise(z, step.sigma_next)"),
    ("mmps", "step.sigma**2 * spread", "step.sigma * spread"),
    ("mmps", "known.latents - denoised.detach()", "denoised.detach() - known.latents"),
    ("mmps", "self.deviation**2 * v", "self.deviation * v"),
    ("lanpaint", "(1 + self.guidance) * (known.latents - z)", "self.guidance * (known.latents - z)"),
    ("lanpaint", "- self.guidance * drift", "+ self.guidance * drift"),
    ("lanpaint", "math.sqrt(2 * self.rate)", "math.sqrt(self.rate)"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), MUTANTS)
def test_a_mistake_in_the_solver_is_noticed(name: str, right: str, wrong: str) -> None:
    solver, paper = CASES[name]
    own = sys.modules[type(solver).__module__]
    mutant = getattr(changed(own, right, wrong), type(solver).__name__)(**dataclasses.asdict(solver))
    assert deviation(mutant, paper) > 1e-3


def test_gradients_of_the_network_are_taken_by_mmps_alone_and_nobody_decodes() -> None:
    spent = {}
    solvers: dict[str, Any] = {
        "repaint": repaint.RePaint(repeats=2),
        "mmps": mmps.MMPS(iterations=3),
        "lanpaint": lanpaint.LanPaint(repeats=2),
    }
    for name, solver in solvers.items():
        prior = Prior(Toy(torch.zeros(DIM).double(), torch.eye(DIM).double()), DIM, Costs())
        state = State(normal(7, BATCH, 1, DIM))
        for index in range(2):
            problem = Problem(Hole(2, 5), Hole(2, 5).forward(MEASURED))
            state = solver.step(state, Step(index, 0.9, 0.6, problem, prior, Noises()))
        assert not state.z.requires_grad
        costs = prior.costs
        assert costs.encoder_forward == 2 * BATCH
        assert costs.decoder_forward == costs.decoder_backward == 0
        spent[name] = (costs.network_forward // BATCH, costs.network_backward // BATCH)
    assert spent == {"repaint": (4, 0), "mmps": (2, 6), "lanpaint": (6, 0)}


def test_least_residual_solves_what_its_space_reaches_and_never_makes_it_worse() -> None:
    matrices = torch.eye(6).double() + 0.8 * normal(1, 3, 6, 6)  # far from symmetric
    target = normal(2, 3, 6)
    target[2] = 0

    def product(v: Tensor) -> tuple[Tensor, Tensor]:
        return (matrices @ v[..., None])[..., 0], v

    exact = torch.linalg.solve(matrices, target)
    torch.testing.assert_close(least_residual(product, target, 6), exact)
    torch.testing.assert_close(least_residual(product, target, 9), exact)
    residuals = [(target - product(least_residual(product, target, k))[0]).norm(dim=1)[:2] for k in range(1, 7)]
    assert all(bool((after <= before + 1e-12).all()) for before, after in pairwise(residuals))
