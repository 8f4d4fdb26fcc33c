"""Solvers that take the latents as measured against their papers' variance-preserving formulas, in float64.

As in ``test_solver_parity``: the formulas are in ``x``, ``abar`` and ``eps``, and every mistake that is easy to make is
made in the solver's own source and has to fail the same comparison.
"""

import dataclasses
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

KNOWN = torch.tensor([1, 1, 0, 0, 0, 1, 1, 1, 0, 1, 1, 1]).double().reshape(1, 1, DIM)
MEASURED = normal(11, BATCH, 1, DIM)


def replaced(p: Paper, x: Tensor) -> Tensor:
    """``m x_known + (1 - m) x_unknown`` with ``x_known ~ N(sqrt(abar) x_0, (1 - abar) I)``: RePaint, lines 4 and 8."""
    known = math.sqrt(p.abar_next) * MEASURED
    if p.abar_next < 1:
        known = known + math.sqrt(1 - p.abar_next) * p.noise(x)
    return KNOWN * known + (1 - KNOWN) * x


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
    kept = KNOWN[0, 0].nonzero()[:, 0]
    clean = p.clean(p.x)
    moved = clean.clone()
    for item in range(BATCH):
        slope = torch.autograd.functional.jacobian(lambda x: p.clean(x[None, None])[0, 0], p.x[item, 0])
        v = (1 - p.abar) / math.sqrt(p.abar) * slope.T
        inner = solver.deviation**2 * torch.eye(len(kept)).double() + v[kept][:, kept]
        weights = torch.linalg.solve(inner, (MEASURED - clean)[item, 0, kept])
        moved[item, 0] = clean[item, 0] + v[:, kept] @ weights
    eps = (p.x - math.sqrt(p.abar) * moved) / math.sqrt(1 - p.abar)
    return p.ddim(moved, eps, solver.eta)


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


CASES: dict[str, tuple[Any, Callable[[Paper, Any], Tensor]]] = {
    "repaint": (repaint.RePaint(repeats=1, analytic=False), paper_repaint),
    "repaint, three times": (repaint.RePaint(repeats=3, eta=0.6, analytic=False), paper_repaint),
    "mmps": (mmps.MMPS(iterations=8, deviation=0.4, eta=0.7, analytic=False), paper_mmps),
    "lanpaint": (lanpaint.LanPaint(repeats=2, rate=0.2, guidance=3.0, eta=0.7, analytic=False), paper_lanpaint),
}


def deviation(solver: Any, paper: Callable[[Paper, Any], Tensor]) -> float:
    """How far the solver's walk and the paper's come apart, relative to the paper's, at the worst level."""
    prior = Prior(Toy(torch.zeros(DIM).double(), torch.eye(DIM).double()), DIM, Costs())
    problem = Problem(Hole(2, 5), MEASURED)
    x = normal(7, BATCH, 1, DIM)
    evidence = Evidence(MEASURED, KNOWN.expand(BATCH, 1, DIM))
    state, ours, theirs = State(x / math.sqrt(ABARS[0]), evidence), Noises(), Noises()
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


MUTANTS = [
    ("repaint", "outside + step.sigma_next * step.noise(z)", "outside + step.sigma * step.noise(z)"),
    ("repaint", "known.join(moved, outside)", "known.join(outside, moved)"),
    ("repaint", "denoise(z, step.sigma)", "denoise(z, step.sigma_next)"),
    ("mmps", "step.sigma**2 * spread", "step.sigma * spread"),
    ("mmps", "known.latents - denoised.detach()", "denoised.detach() - known.latents"),
    ("mmps", "self.deviation**2 * v", "self.deviation * v"),
    ("mmps", "residual = known.known * ", "residual = "),
    ("mmps", "known.known * spread + ", "spread + "),
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
