"""Each solver against its paper's own variance-preserving formula, in float64, over several levels.

The formulas below are written in ``x``, ``abar`` and ``eps`` alone, with gradients by autograd in ``x``; the solvers
never see them. Every mistake that is easy to make when a method changes frames is then made in the solver's own source,
and has to fail the same comparison.
"""

import dataclasses
import inspect
import math
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import diffmusic.solver as diffmusic_solver
from diffmusic.prior import Costs, Prior
from diffmusic.problem import Problem
from diffmusic.solver import State, Step, data_consistency, misfit_gradient, steps
from diffmusic.testing.oracle import GaussianPrior
from diffmusic_solvers import daps, diffmusic, diffmusic_slerp, dps, dps_jacobian_free, dsg, mpgd
from tests.draws import normal
from tests.mutation import changed

DIM, ROWS, BATCH = 12, 5, 2
ABARS = (0.02, 0.1, 0.35, 0.6, 0.9, 0.995, 1.0)


MATRIX, Y = normal(2, ROWS, DIM) / 3, normal(3, BATCH, 1, ROWS)
MIXING = normal(1, DIM, DIM) / 3


def network(x: Tensor, abar: float) -> Tensor:
    """``eps(x, t)``, with no likeness to a posterior mean, so that nothing cancels by luck."""
    return torch.tanh(x @ MIXING) * (0.5 + abar)


@dataclasses.dataclass(frozen=True)
class Operator:
    """Not linear, so that it matters where the gradient is taken."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ MATRIX.T)


class Toy(GaussianPrior):
    """The toy network in the frame of the solvers."""

    def denoise(self, z: Tensor, sigma: float, condition: object = None) -> Tensor:
        abar = 1 / (1 + sigma**2)
        return z - sigma * network(math.sqrt(abar) * z, abar)


class Noises:
    """Fresh noise, each draw another and the same for solver and paper."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, like: Tensor) -> Tensor:
        self.drawn += 1
        return normal(100 + self.drawn, *like.shape)


@dataclasses.dataclass(frozen=True)
class Paper:
    """What the papers write in: ``x_t``, ``abar_t``, ``abar_{t-1}``."""

    x: Tensor
    abar: float
    abar_next: float
    index: int
    noise: Noises

    def clean(self, x: Tensor) -> Tensor:
        return (x - math.sqrt(1 - self.abar) * network(x, self.abar)) / math.sqrt(self.abar)

    def deviation(self, eta: float) -> float:
        """DDIM, eq. 16."""
        inside = (1 - self.abar_next) / (1 - self.abar) * (1 - self.abar / self.abar_next)
        return eta * math.sqrt(inside)

    def ddim(self, clean: Tensor, eps: Tensor, eta: float) -> Tensor:
        """DDIM, eq. 12."""
        sigma, mean = self.deviation(eta), self.mean(clean, eps, eta)
        return mean + sigma * self.noise(mean) if sigma > 0 else mean

    def mean(self, clean: Tensor, eps: Tensor, eta: float) -> Tensor:
        """The same without its fresh noise."""
        kept = math.sqrt(max(0.0, 1 - self.abar_next - self.deviation(eta) ** 2))
        return math.sqrt(self.abar_next) * clean + kept * eps


def misfit(clean: Tensor) -> Tensor:
    return (torch.tanh(clean @ MATRIX.T) - Y).square().flatten(1).sum(1)


def gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    leaf = at.detach().requires_grad_()
    (result,) = torch.autograd.grad(function(leaf).sum(), leaf)
    return result


def lengths(a: Tensor) -> Tensor:
    return a.flatten(1).norm(dim=1)[:, None, None]


def paper_dps(p: Paper, solver: Any) -> Tensor:
    """Algorithm 1 of DPS: the ancestral step, then ``- zeta grad_x ||y - A(x0(x))||``."""
    loss = (lambda x: misfit(p.clean(x))) if solver.squared else (lambda x: misfit(p.clean(x)).sqrt())
    return p.ddim(p.clean(p.x), network(p.x, p.abar), solver.eta) - solver.zeta * gradient(loss, p.x)


def paper_ancestral(p: Paper, solver: Any) -> Tensor:
    """The same with line 6 as printed: the mean of ``q(x_{t-1} | x_t, x0)`` and its variance."""
    alpha = p.abar / p.abar_next
    mean = math.sqrt(alpha) * (1 - p.abar_next) / (1 - p.abar) * p.x
    mean = mean + math.sqrt(p.abar_next) * (1 - alpha) / (1 - p.abar) * p.clean(p.x)
    variance = (1 - alpha) * (1 - p.abar_next) / (1 - p.abar)
    x = mean + (math.sqrt(variance) * p.noise(mean) if variance > 0 else 0)
    return x - solver.zeta * gradient(lambda x: misfit(p.clean(x)).sqrt(), p.x)


def paper_jacobian_free(p: Paper, solver: Any) -> Tensor:
    """The released code: ``x`` becomes a leaf when ``eps`` is already a number."""
    eps = network(p.x, p.abar)

    def loss(x: Tensor) -> Tensor:
        return misfit((x - math.sqrt(1 - p.abar) * eps) / math.sqrt(p.abar)).sqrt()

    return p.ddim(p.clean(p.x), eps, solver.eta) - solver.zeta * gradient(loss, p.x)


def paper_dsg(p: Paper, solver: Any) -> Tensor:
    """Algorithm 1 of DSG: ``d* = -sqrt(n) sigma_t unit(grad)``, mixed with the sampled step, back on the sphere."""
    eps, sigma = network(p.x, p.abar), p.deviation(solver.eta)
    clean = p.clean(p.x)
    mean = p.mean(clean, eps, solver.eta)
    if sigma == 0:
        return mean
    sampled = sigma * p.noise(mean)
    if p.index % solver.interval:
        return mean + sampled
    radius = math.sqrt(DIM) * sigma
    slope = gradient(lambda x: misfit(p.clean(x)).sqrt(), p.x) if solver.jacobian else gradient(misfit, clean)
    steepest = -radius * slope / lengths(slope)
    mixed = sampled + solver.rate * (steepest - sampled)
    return mean + radius * mixed / lengths(mixed)


def paper_mpgd(p: Paper, solver: Any) -> Tensor:
    """Algorithm of MPGD: ``x0 <- x0 - c_t grad``, then DDIM with the network's ``eps``; time travel as in its code."""
    x = p.x
    for again in range(solver.repeats if p.abar_next < 1 else 1):
        if again:
            alpha = p.abar / p.abar_next
            p = dataclasses.replace(p, x=math.sqrt(alpha) * x + math.sqrt(1 - alpha) * p.noise(x))
        clean = p.clean(p.x)
        step = solver.zeta / math.sqrt(p.abar_next)
        guided = clean - step * gradient(lambda clean: misfit(clean).sqrt(), clean)
        x = p.ddim(guided, network(p.x, p.abar), solver.eta)
    return x


def paper_diffmusic(p: Paper, solver: Any) -> Tensor:
    """Algorithm 1 of DiffMusic, lines 4 to 8, with the ``gamma`` that the solver's rate amounts to here."""
    clean = p.clean(p.x)
    slope = gradient(misfit, clean)
    gamma: Any = solver.gamma
    if gamma is None:
        assert solver.rate is not None
        gamma = solver.rate * math.sqrt(DIM) * math.sqrt(1 - p.abar) / lengths(slope)
    clean = clean - gamma * slope
    eps = (p.x - math.sqrt(p.abar) * clean) / math.sqrt(1 - p.abar)
    return math.sqrt(p.abar_next) * clean + math.sqrt(1 - p.abar_next) * eps


def paper_covariance(p: Paper, solver: Any) -> Tensor:
    """The same with the gradient in ``x``, through the network: as long, along the covariance."""
    clean = p.clean(p.x)
    for _ in range(solver.corrections):
        moved = clean - p.clean(p.x)
        slope = gradient(lambda x, moved=moved: misfit(p.clean(x) + moved), p.x)  # type: ignore[misc]
        clean = clean - solver.rate * math.sqrt(DIM) * math.sqrt(1 - p.abar) * slope / lengths(slope)
    eps = (p.x - math.sqrt(p.abar) * clean) / math.sqrt(1 - p.abar)
    return p.ddim(clean, eps, solver.eta)


def paper_slerp(p: Paper, solver: Any) -> Tensor:
    """The released code: the mean of DDIM, and ``sigma_t`` times noise turned towards ``-grad`` on its sphere."""
    eps, sigma = network(p.x, p.abar), p.deviation(solver.eta)
    clean = p.clean(p.x)
    mean = p.mean(clean, eps, solver.eta)
    if sigma == 0:
        return mean
    sampled, slope = p.noise(mean), gradient(lambda clean: misfit(clean).sqrt(), clean)
    target = -slope / lengths(slope) * lengths(sampled)
    angle = torch.acos((sampled * target).sum(-1, keepdim=True) / lengths(sampled) ** 2)
    kept, new = ((part * angle).sin() / angle.sin() for part in (1 - solver.rate, solver.rate))
    return mean + sigma * (kept * sampled + new * target)


def paper_daps(p: Paper, solver: Any) -> Tensor:
    """``x0 ~ p(x0 | x_t)``, its fit to the data, and ``x_{t-1} ~ N(sqrt(abar) x0, (1 - abar) I)``, Proposition 1."""
    eps = network(p.x, p.abar)
    clean = p.clean(p.x)
    if p.abar_next < 1:
        share = (1 - lengths(eps) ** 2 / DIM).clamp(min=0)
        clean = clean + math.sqrt((1 - p.abar) / p.abar) * share.sqrt() * p.noise(clean)
    for number in range(solver.corrections):
        slope = gradient(misfit, clean)
        length = solver.rate * math.sqrt(DIM) * math.sqrt(1 - p.abar) / (number + 1)
        clean = clean - length * slope / lengths(slope)
    if p.abar_next == 1:
        return clean
    return math.sqrt(p.abar_next) * clean + math.sqrt(1 - p.abar_next) * p.noise(clean)


CASES: dict[str, tuple[Any, Callable[[Paper, Any], Tensor]]] = {
    "diffmusic": (diffmusic.DiffMusic(rate=0.4, corrections=1, repeats=1, eta=0.0), paper_diffmusic),
    "diffmusic, to the letter": (diffmusic.DiffMusic(gamma=0.02), paper_diffmusic),
    "diffmusic, covariance": (
        diffmusic.DiffMusic(rate=0.4, corrections=2, repeats=1, eta=0.5, analytic=False, covariance=True),
        paper_covariance,
    ),
    "diffmusic-slerp": (diffmusic_slerp.DiffMusicSlerp(rate=0.3, eta=0.8), paper_slerp),
    "dps": (dps.DPS(zeta=0.3), paper_dps),
    "dps, ancestral as printed": (dps.DPS(zeta=0.3), paper_ancestral),
    "dps, squared": (dps.DPS(zeta=0.2, squared=True, eta=0.6), paper_dps),
    "dps-jacobian-free": (dps_jacobian_free.JacobianFreeDPS(zeta=0.3, eta=0.0), paper_jacobian_free),
    "dsg": (dsg.DSG(rate=0.3), paper_dsg),
    "dsg, every third": (dsg.DSG(rate=0.3, interval=3, eta=0.7, jacobian=False), paper_dsg),
    "mpgd": (mpgd.MPGD(zeta=0.3, eta=0.5), paper_mpgd),
    "mpgd, time travel": (mpgd.MPGD(zeta=0.3, repeats=3), paper_mpgd),
    "daps": (daps.DAPS(rate=0.3, corrections=3), paper_daps),
}


def deviation(solver: Any, paper: Callable[[Paper, Any], Tensor]) -> float:
    """How far the solver's walk and the paper's come apart, relative to the paper's, at the worst level."""
    prior = Prior(Toy(torch.zeros(DIM).double(), torch.eye(DIM).double()), DIM, Costs())
    problem = Problem(Operator(), Y, features=lambda y: y)
    x = normal(7, BATCH, 1, DIM)
    state, ours, theirs = State(x / math.sqrt(ABARS[0])), Noises(), Noises()
    worst = 0.0
    for index, (abar, abar_next) in enumerate(pairwise(ABARS)):
        sigma, sigma_next = (math.sqrt((1 - a) / a) for a in (abar, abar_next))
        state = solver.step(state, Step(index, sigma, sigma_next, problem, prior, ours))
        x = paper(Paper(x, abar, abar_next, index, theirs), solver)
        worst = max(worst, float((math.sqrt(abar_next) * state.z - x).norm() / x.norm()))
    return worst


@pytest.mark.parametrize("name", CASES)
def test_solver_walks_as_its_paper(name: str) -> None:
    assert deviation(*CASES[name]) < 1e-10


# The case, a line of its solver, or of what solvers share, as it should be, and as it should not.
MUTANTS = [
    ("diffmusic", "clean - correction(", "clean + correction("),
    ("diffmusic", "* step.sigma / math.sqrt(1 + step.sigma**2)", "* step.sigma"),
    ("diffmusic", "* step.sigma / math.sqrt(1 + step.sigma**2)", "* step.sigma_next / math.sqrt(1 + step.sigma**2)"),
    ("diffmusic, covariance", "spread if self.covariance else None", "None"),
    ("diffmusic, covariance", "autograd.grad(denoised, z, gradient", "autograd.grad(denoised, z, -gradient"),
    ("diffmusic-slerp", "-gradient, self.rate", "gradient, self.rate"),
    ("diffmusic-slerp", "mean + s * _slerp", "mean + s * (1 + step.sigma_next**2) ** 0.5 * _slerp"),
    ("diffmusic-slerp", "denoise(state.z, step.sigma)", "denoise(state.z, step.sigma_next)"),
    ("diffmusic-slerp", "b = length * towards", "b = towards"),
    ("dps", "- scale * gradient", "+ scale * gradient"),
    ("dps", "(1 + step.sigma**2) * (1 + step.sigma_next**2)", "1 + step.sigma**2"),
    ("dps", "(1 + step.sigma**2) * (1 + step.sigma_next**2)", "1 + step.sigma_next**2"),
    ("dps", "denoise(z, step.sigma)", "denoise(z, step.sigma_next)"),
    ("dps", "misfit_gradient(clean, z, ", "misfit_gradient(z, z, "),
    ("dps, squared", "self.space, self.squared", "self.space, False"),
    ("dps-jacobian-free", "- scale * gradient", "+ scale * gradient"),
    ("dps-jacobian-free", "(1 + step.sigma**2) * (1 + step.sigma_next**2)", "1 + step.sigma**2"),
    ("dps-jacobian-free", "(1 + step.sigma**2) * (1 + step.sigma_next**2)", "1 + step.sigma_next**2"),
    ("dps-jacobian-free", "denoise(state.z, step.sigma)", "denoise(state.z, step.sigma_next)"),
    ("dsg", "-radius * _unit(gradient)", "radius * _unit(gradient)"),
    ("dsg", "radius = s *", "radius = s / math.sqrt(1 + step.sigma_next**2) *"),
    ("dsg", "fresh = s *", "fresh = s / math.sqrt(1 + step.sigma_next**2) *"),
    ("dsg", "denoise(z, step.sigma)", "denoise(z, step.sigma_next)"),
    ("dsg, every third", "step.index % self.interval == 0", "step.index % self.interval == 1"),
    ("mpgd", "- scale * gradient", "+ scale * gradient"),
    ("mpgd", "self.zeta * math.sqrt(1 + step.sigma_next**2)", "self.zeta"),
    ("mpgd", "self.zeta * math.sqrt(1 + step.sigma_next**2)", "self.zeta * math.sqrt(1 + step.sigma**2)"),
    ("mpgd", "return transition(z, clean.detach(), step, self.eta) - scale * gradient",
     "return transition(z, clean.detach() - scale * gradient, step, self.eta)"),
    ("diffmusic, to the letter", "- gamma * gradient", "+ gamma * gradient"),
    ("diffmusic, to the letter", "gradient, step, 0.0)", "gradient, step, self.eta)"),
    ("mpgd, time travel", "z + climb * step.noise(z)", "z + step.sigma * step.noise(z)"),
    ("mpgd, time travel", "range(repeats - 1)", "range(repeats)"),
    ("daps", "x - correction(", "x + correction("),
    ("daps", "* step.sigma / math.sqrt(1 + step.sigma**2)", "* step.sigma"),
    ("daps", "* step.sigma / math.sqrt(1 + step.sigma**2)", "* step.sigma_next / math.sqrt(1 + step.sigma_next**2)"),
    ("daps", "x + step.sigma_next * step.noise(x)", "x + step.sigma * step.noise(x)"),
    ("daps", "variance.sqrt() * step.noise", "step.sigma * step.noise"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "right", "wrong"), MUTANTS)
def test_a_mistake_in_the_solver_is_noticed(name: str, right: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    solver, paper = CASES[name]
    own = sys.modules[type(solver).__module__]
    (wanted,) = [module for module in (own, steps, data_consistency) if right in inspect.getsource(module)]
    mutated = changed(wanted, right, wrong)
    if wanted is not own:  # the solver, read again, imports what is shared anew
        for shared in {name for name in vars(mutated) if hasattr(diffmusic_solver, name)}:
            monkeypatch.setattr(diffmusic_solver, shared, vars(mutated)[shared])
        mutated = changed(own)
    mutant = getattr(mutated, type(solver).__name__)(**dataclasses.asdict(solver))
    assert deviation(mutant, paper) > 1e-3


def costs(solver: Any, levels: int = 3) -> dict[str, int]:
    """What ``levels`` moves cost, for each item."""
    prior = Prior(Toy(torch.zeros(DIM).double(), torch.eye(DIM).double()), DIM, Costs())
    state, noise = State(normal(7, BATCH, 1, DIM)), Noises()
    for index in range(levels):
        state = solver.step(state, Step(index, 0.9, 0.6, Problem(Operator(), Y, features=lambda y: y), prior, noise))
    assert not state.z.requires_grad
    spent = prior.costs.as_dict() | {"network_calls": 0}  # a call is for all items
    return {name: count // BATCH for name, count in spent.items() if count}


@pytest.mark.parametrize(
    ("solver", "backwards", "network", "decoder"),
    [
        (dps.DPS(), 3, 3, 3),
        (dps_jacobian_free.JacobianFreeDPS(), 0, 3, 3),
        (dsg.DSG(), 3, 3, 3),
        (dsg.DSG(interval=2), 2, 3, 2),
        (dsg.DSG(jacobian=False), 0, 3, 3),
        (diffmusic.DiffMusic(repeats=1), 0, 3, 3),
        (diffmusic.DiffMusic(repeats=1, covariance=True), 3, 3, 3),
        (diffmusic_slerp.DiffMusicSlerp(), 0, 3, 3),
        (mpgd.MPGD(repeats=2), 0, 6, 6),
        (daps.DAPS(corrections=4), 0, 3, 12),
    ],
)
def test_who_differentiates_the_network(solver: Any, backwards: int, network: int, decoder: int) -> None:
    # Of the decoder, one pass more for each line search.
    expected = {"network_forward": network, "decoder_forward": 2 * decoder, "decoder_backward": decoder}
    assert costs(solver) == expected | ({"network_backward": backwards} if backwards else {})


@pytest.mark.parametrize("name", CASES)
def test_a_flat_misfit_guides_nowhere_and_breaks_nothing(name: str) -> None:
    solver, _ = CASES[name]
    prior = Prior(Toy(torch.zeros(DIM).double(), torch.eye(DIM).double()), DIM, Costs())
    flat = Problem(Operator(), Y, features=lambda y: 0 * y)
    assert bool(
        solver.step(State(normal(7, BATCH, 1, DIM)), Step(0, 0.9, 0.6, flat, prior, Noises())).z.isfinite().all()
    )


def test_sources_of_one_item_share_its_misfit_and_its_floor() -> None:
    class Sum:
        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x.sum(1, keepdim=True) @ MATRIX.T)

    prior = Prior(Toy(torch.zeros(DIM).double(), torch.eye(DIM).double()), DIM, Costs(), sources=2)
    problem = Problem(Sum(), Y, features=lambda y: y, noise=0.2)
    step = Step(0, 0.9, 0.6, problem, prior, Noises())
    leaf = normal(7, 2 * BATCH, 1, DIM).requires_grad_()
    excess, root = misfit_gradient(leaf, leaf, step, "mel", squared=False)
    loss = problem.misfit(leaf.reshape(BATCH, 2, DIM))
    assert excess.shape == (2 * BATCH, 1, 1)
    torch.testing.assert_close(excess[:, 0, 0], (loss - problem.floor()).repeat_interleave(2))
    (expected,) = torch.autograd.grad(loss.sqrt().sum(), leaf)
    torch.testing.assert_close(root, expected)
