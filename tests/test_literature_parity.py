"""Solvers from the literature against formulas written from their papers, in float64, over several levels.

As in ``test_solver_parity``. Diffusion papers are in ``x``, ``abar`` and ``eps``, flow papers in ``x = (1 - t)
x_0 + t n`` with a velocity; gradients are by autograd in the paper's own variable. Decoder and encoder are not
linear and not each other's inverse, and every mistake that is easy to make is made in the solver's source and has to be
noticed.
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

from diffmusic.errors import InputError
from diffmusic.prior import Costs, Prior
from diffmusic.problem import Problem
from diffmusic.solver import State, Step
from diffmusic.testing.oracle import Hole
from diffmusic_solvers import flair, flow_chef, flow_dps, latent_daps, pnp_flow, psld, red_diff, resample, sitcom
from tests.draws import normal
from tests.mutation import changed
from tests.test_solver_parity import ABARS, BATCH, DIM, ROWS, Noises, Paper, Toy, Y, gradient, lengths, network

ROWS_OF_A = torch.linalg.qr(normal(2, DIM, ROWS)).Q.T
INWARD, OUTWARD = (torch.eye(DIM).double() + normal(seed, DIM, DIM) / 8 for seed in (21, 22))


def decoded(z: Tensor) -> Tensor:
    return z @ OUTWARD + 0.4 * torch.sin(z)


def encoded(x: Tensor) -> Tensor:
    return 0.8 * x @ INWARD + 0.3 * torch.sin(2 * x)


class Coded(Toy):
    """The toy network with a decoder and an encoder."""

    def decode(self, z: Tensor, samples: int) -> Tensor:
        return decoded(z)

    def encode(self, x: Tensor) -> Tensor:
        return encoded(x)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Orthonormal rows: ``A^T A`` is a projection."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ ROWS_OF_A.T

    def adjoint(self, y: Tensor) -> Tensor:
        return y @ ROWS_OF_A


def misfit(clean: Tensor) -> Tensor:
    return (decoded(clean) @ ROWS_OF_A.T - Y).square().flatten(1).sum(1)


def least(function: Callable[[Tensor], Tensor], at: Tensor, slope: Tensor) -> Tensor:
    """``at`` moved against ``slope`` to where a parabola is least: its value and slope at 0, and its value far off."""
    value, energy = function(at)[:, None, None], slope.square().sum((1, 2), keepdim=True)
    far = 2 * value / energy
    beyond = function(at - far * slope)[:, None, None]
    curvature = 2 * (beyond - value + far * energy) / far**2
    return at - torch.where(curvature > 0, (energy / curvature).minimum(far), far) * slope


def searched(clean: Tensor, times: int) -> Tensor:
    for _ in range(times):
        clean = least(misfit, clean, gradient(misfit, clean))
    return clean


@dataclasses.dataclass(frozen=True)
class Flow(Paper):
    """What the flow papers write in: ``t``, the velocity, and both ends of the line."""

    @property
    def t(self) -> float:
        return self.sigma / (1 + self.sigma)

    @property
    def t_next(self) -> float:
        return self.sigma_next / (1 + self.sigma_next)

    @property
    def sigma(self) -> float:
        return math.sqrt((1 - self.abar) / self.abar)

    @property
    def sigma_next(self) -> float:
        return math.sqrt((1 - self.abar_next) / self.abar_next)

    def velocity(self, x: Tensor) -> Tensor:
        """Of ``x = (1 - t) x_0 + t n``, from the network that preserves variance."""
        vp = x / (1 - self.t) * math.sqrt(self.abar)
        return (x - self.clean(vp)) / self.t

    @property
    def flowing(self) -> Tensor:
        return self.x / math.sqrt(self.abar) * (1 - self.t)

    def back(self, x: Tensor) -> Tensor:
        """From the flow's ``x`` at the next time to the variance-preserving one."""
        return x / (1 - self.t_next) * math.sqrt(self.abar_next)


def paper_psld(p: Flow, solver: psld.PSLD, memory: Any) -> tuple[Tensor, Any]:
    """Algorithm 2: the step of DDIM, then both terms' gradients in ``x``."""

    def terms(x: Tensor) -> Tensor:
        clean = p.clean(x)
        audio = decoded(clean)
        glued = encoded(Y @ ROWS_OF_A + audio - audio @ ROWS_OF_A.T @ ROWS_OF_A)
        return misfit(clean).sqrt() + solver.gluing * (clean - glued).flatten(1).norm(dim=1)

    assert solver.zeta is not None
    x = p.ddim(p.clean(p.x), network(p.x, p.abar), solver.eta)
    return x - solver.zeta * gradient(terms, p.x), None


def paper_resample(p: Flow, solver: resample.ReSample, memory: Any) -> tuple[Tensor, Any]:
    """Algorithm 1: DDIM, the optimised ``x_0``, and Proposition 1 with ``sigma_t^2`` of eq. 9's remark."""
    clean = p.clean(p.x)
    moved = p.ddim(clean, network(p.x, p.abar), solver.eta)
    if p.index % solver.every and p.abar_next < 1:
        return moved, None
    if p.sigma <= solver.latent:
        fitted = searched(clean, solver.iterations)
    else:
        audio = decoded(clean)
        onto = audio
        for _ in range(solver.iterations):  # twice Polyak's step on |A x - y|^2, whose gradient is 2 A^T (A x - y)
            residual = onto @ ROWS_OF_A.T - Y
            slope = 2 * residual @ ROWS_OF_A
            onto = onto - 2 * residual.square().sum(-1, keepdim=True) / slope.square().sum(-1, keepdim=True) * slope
        fitted = clean + encoded(onto) - encoded(audio)
    if p.abar_next == 1:
        return fitted, None
    variance = solver.gamma * (1 - p.abar_next) / p.abar * (1 - p.abar / p.abar_next)
    total = variance + 1 - p.abar_next
    mean = (variance * math.sqrt(p.abar_next) * fitted + (1 - p.abar_next) * moved) / total
    return mean + math.sqrt(variance * (1 - p.abar_next) / total) * p.noise(mean), None


def paper_sitcom(p: Flow, solver: sitcom.SITCOM, memory: Any) -> tuple[Tensor, Any]:
    """Algorithm 1: Adam (or the search) on the input ``v`` of the network, in ``x``."""
    v, first, second = p.x, torch.zeros_like(p.x), torch.zeros_like(p.x)
    for number in range(1, solver.iterations + 1):
        slope = gradient(lambda v: misfit(p.clean(v)), v)
        if solver.rate is None:
            v = least(lambda v: misfit(p.clean(v)), v, slope)
            continue
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        v = v - solver.rate * (first / (1 - 0.9**number)) / ((second / (1 - 0.999**number)).sqrt() + 1e-8)
    clean = p.clean(v)
    if p.abar_next == 1:
        return clean, None
    return math.sqrt(p.abar_next) * clean + math.sqrt(1 - p.abar_next) * p.noise(clean), None


def paper_red_diff(p: Flow, solver: red_diff.REDDiff, memory: Any) -> tuple[Tensor, Any]:
    """Algorithm 1 with plain steps: ``grad L + lambda_t (eps_theta(x_t) - eps)``, ``lambda_t`` the root of 1 / SNR."""
    estimate = p.clean(p.x) if memory is None else memory[0]
    eps = (p.x - math.sqrt(p.abar) * estimate) / math.sqrt(1 - p.abar)
    weight = solver.pull * math.sqrt(1 - p.abar) / math.sqrt(p.abar)
    if solver.rate is None:
        fitted = searched(estimate, 1)
    else:
        slope = gradient(misfit, estimate)
        fitted = estimate - solver.rate * math.sqrt(DIM) * math.sqrt(1 - p.abar) * slope / lengths(slope)
    estimate = fitted - weight * (network(p.x, p.abar) - eps)
    if p.abar_next == 1:
        return estimate, (estimate,)
    return math.sqrt(p.abar_next) * estimate + math.sqrt(1 - p.abar_next) * p.noise(estimate), (estimate,)


def paper_pnp_flow(p: Flow, solver: pnp_flow.PnPFlow, memory: Any) -> tuple[Tensor, Any]:
    """Algorithm 3, entered after its data step: interpolation with noise, denoiser, then the data step of the next."""
    clean = p.flowing - p.t * p.velocity(p.flowing)
    if memory is not None:
        for _ in range(solver.averages - 1):
            line = p.t * p.noise(clean) + (1 - p.t) * memory[0]
            clean = clean + line - p.t * p.velocity(line)
        clean = clean / solver.averages
    fitted = clean + p.t**solver.decay * (searched(clean, 1) - clean)
    if p.abar_next == 1:
        return fitted, (fitted,)
    return p.back(p.t_next * p.noise(clean) + (1 - p.t_next) * fitted), (fitted,)


def paper_flow_dps(p: Flow, solver: flow_dps.FlowDPS, memory: Any) -> tuple[Tensor, Any]:
    """Algorithm 1: both ends by Tweedie's formula, the clean one fitted and weighed, the noisy one partly drawn."""
    velocity = p.velocity(p.flowing)
    clean, noisy = p.flowing - p.t * velocity, p.flowing + (1 - p.t) * velocity
    fitted = clean
    for _ in range(solver.corrections):
        if solver.zeta is None:
            fitted = searched(fitted, 1)
        else:
            fitted = fitted - solver.zeta * gradient(lambda z: misfit(z).sqrt(), fitted)
    clean = (1 - p.t) * clean + p.t * fitted
    if p.abar_next == 1:
        return clean, None
    noisy = math.sqrt(p.t_next) * noisy + math.sqrt(1 - p.t_next) * p.noise(noisy)
    return p.back((1 - p.t_next) * clean + p.t_next * noisy), None


def paper_flow_chef(p: Flow, solver: flow_chef.FlowChef, memory: Any) -> tuple[Tensor, Any]:
    """Algorithm 1: Euler's step, less the gradient at the clean end."""
    velocity = p.velocity(p.flowing)
    clean = p.flowing - p.t * velocity
    x = p.flowing + (p.t_next - p.t) * velocity
    assert solver.zeta is not None
    return p.back(x - solver.zeta * gradient(lambda z: misfit(z).sqrt(), clean)), None


def paper_flair(p: Flow, solver: flair.FLAIR, memory: Any) -> tuple[Tensor, Any]:
    """Algorithm 1: regulariser ``lambda (v - (e - m))`` with ``lambda = pull t``, data term, trajectory adjustment."""
    velocity = p.velocity(p.flowing)
    estimate = p.flowing - p.t * velocity if memory is None else memory[0]
    noise = (p.flowing - (1 - p.t) * estimate) / p.t
    predicted = (1 - p.t) * estimate + p.t * noise + (1 - p.t) * velocity
    estimate = searched(estimate - solver.pull * p.t * (velocity - (noise - estimate)), solver.corrections)
    if p.abar_next == 1:
        return estimate, None
    kept = 1 - p.t_next
    noise = kept * predicted + math.sqrt(1 - kept**2) * p.noise(estimate)
    return p.back((1 - p.t_next) * estimate + p.t_next * noise), (estimate,)


def paper_latent_daps(p: Flow, solver: latent_daps.LatentDAPS, memory: Any) -> tuple[Tensor, Any]:
    """Algorithm 1: Euler on ``dx = eps dsigma``, the released code's damped dynamics, and noise."""
    x = p.x / math.sqrt(p.abar)
    for k in range(solver.levels):
        now, then = (p.sigma * (1 - each / solver.levels) ** 7 for each in (k, k + 1))
        x = x + (then - now) * network(x / math.sqrt(1 + now**2), 1 / (1 + now**2))
    centre, velocity, slope = x, torch.zeros_like(x), gradient(misfit, x)
    gamma = lengths(searched(x, 1) - x) / lengths(slope)
    rate = solver.rate / (1 / p.sigma**2 + 1 / (2 * solver.deviation**2 * gamma))
    for _ in range(solver.iterations):

        def energy(x: Tensor) -> Tensor:
            near = (x - centre).square().flatten(1).sum(1) / (2 * p.sigma**2)
            return near + misfit(x) / (2 * solver.deviation**2)

        fresh = math.sqrt(2 * (1 - solver.momentum)) * p.noise(x)
        velocity = solver.momentum * velocity - rate.sqrt() * gradient(energy, x) + fresh
        x = x + rate.sqrt() * velocity
    if p.abar_next == 1:
        return x, None
    return math.sqrt(p.abar_next) * x + math.sqrt(1 - p.abar_next) * p.noise(x), None


CASES: dict[str, tuple[Any, Callable[[Flow, Any, Any], tuple[Tensor, Any]]]] = {
    "psld": (psld.PSLD(zeta=0.2, gluing=0.5), paper_psld),
    "resample": (resample.ReSample(gamma=4.0, iterations=2, eta=0.5), paper_resample),
    "resample, every third": (resample.ReSample(gamma=40.0, every=3, iterations=3, latent=0.4), paper_resample),
    "sitcom": (sitcom.SITCOM(iterations=3), paper_sitcom),
    "sitcom, adam": (sitcom.SITCOM(rate=0.05, iterations=4), paper_sitcom),
    "red-diff": (red_diff.REDDiff(pull=0.3), paper_red_diff),
    "red-diff, a length": (red_diff.REDDiff(pull=0.7, rate=0.2), paper_red_diff),
    "pnp-flow": (pnp_flow.PnPFlow(averages=3, decay=0.5), paper_pnp_flow),
    "flow-dps": (flow_dps.FlowDPS(), paper_flow_dps),
    "flow-dps, a size": (flow_dps.FlowDPS(zeta=0.2, corrections=2), paper_flow_dps),
    "flow-chef": (flow_chef.FlowChef(zeta=0.2), paper_flow_chef),
    "flair": (flair.FLAIR(pull=0.4, corrections=2), paper_flair),
    "latent-daps": (latent_daps.LatentDAPS(levels=3, iterations=4, deviation=0.3), paper_latent_daps),
    "latent-daps, momentum": (latent_daps.LatentDAPS(levels=2, iterations=3, momentum=0.6), paper_latent_daps),
}


def deviation(solver: Any, paper: Callable[[Flow, Any, Any], tuple[Tensor, Any]]) -> float:
    """How far the solver's walk and the paper's come apart, relative to the paper's, at the worst level."""
    prior = Prior(Coded(torch.zeros(DIM).double(), torch.eye(DIM).double()), DIM, Costs())
    problem = Problem(Rows(), Y, features=lambda y: y)
    x, memory = normal(7, BATCH, 1, DIM), None
    state, ours, theirs = State(x / math.sqrt(ABARS[0])), Noises(), Noises()
    worst = 0.0
    for index, (abar, abar_next) in enumerate(pairwise(ABARS)):
        sigma, sigma_next = (math.sqrt((1 - a) / a) for a in (abar, abar_next))
        state = solver.step(state, Step(index, sigma, sigma_next, problem, prior, ours))
        x, memory = paper(Flow(x, abar, abar_next, index, theirs), solver, memory)
        apart = float((math.sqrt(abar_next) * state.z - x).norm() / x.norm())
        worst = max(worst, apart if math.isfinite(apart) else math.inf)
    return worst


@pytest.mark.parametrize("name", CASES)
def test_solver_walks_as_its_paper(name: str) -> None:
    assert deviation(*CASES[name]) < 1e-8


MUTANTS = [
    ("psld", "- scale * gradient", "+ scale * gradient"),
    ("psld", "operator.adjoint(y - operator.forward(audio))", "operator.adjoint(operator.forward(audio) - y)"),
    ("psld", "self.gluing * spread(pull / root)", "self.gluing * pull / root"),
    ("psld", "leaf - step.prior.encode(audio + lacking)", "leaf - step.prior.encode(audio + lacking).detach()"),
    ("psld", "squared=False", "squared=True"),
    ("resample", "step.sigma**2 - step.sigma_next**2", "step.sigma**2"),
    ("resample", "math.sqrt(q) * step.sigma_next", "q * step.sigma_next"),
    ("resample", "q * consistent + (1 - q) * moved", "(1 - q) * consistent + q * moved"),
    ("resample", "step.prior.encode(audio)", "clean"),
    ("sitcom", "through=clean", "through=lambda v: v"),
    ("sitcom", "fitted + step.sigma_next * step.noise(fitted)", "fitted + step.sigma * step.noise(fitted)"),
    ("sitcom, adam", "rate * math.sqrt(1 + step.sigma**2)", "rate"),
    ("red-diff", "- self.pull * (before - clean) - data", "+ self.pull * (before - clean) - data"),
    ("red-diff", "- self.pull * (before - clean) - data", "- self.pull * (before - clean) + data"),
    ("red-diff", "memory=estimate", "memory=clean"),
    ("pnp-flow", "step.sigma / (1 + step.sigma)", "step.sigma"),
    ("pnp-flow", "state.memory + step.sigma * step.noise(z)", "state.memory + step.sigma_next * step.noise(z)"),
    ("flow-dps", "clean + time * (fitted - clean)", "fitted"),
    ("flow-dps", "math.sqrt(later) * end + math.sqrt(1 - later)", "math.sqrt(1 - later) * end + math.sqrt(later)"),
    ("flow-dps, a size", "squared=False", "squared=True"),
    ("flow-chef", "(1 + step.sigma_next)", "(1 + step.sigma)"),
    ("flow-chef", "moved - self.zeta", "moved + self.zeta"),
    ("flair", "1 / (1 + step.sigma_next)", "1 / (1 + step.sigma)"),
    ("flair", "(state.z - clean) / step.sigma", "(state.z - estimate) / step.sigma"),
    ("latent-daps", "2 * variance * least", "variance * least"),
    ("latent-daps", "gradient / (2 * variance)", "gradient / variance"),
    ("latent-daps", "** 7", "** 3"),
    ("latent-daps, momentum", "2 * (1 - self.momentum) * size", "2 * size"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), MUTANTS)
def test_a_mistake_in_the_solver_is_noticed(name: str, right: str, wrong: str) -> None:
    solver, paper = CASES[name]
    own = sys.modules[type(solver).__module__]
    mutant = getattr(changed(own, right, wrong), type(solver).__name__)(**dataclasses.asdict(solver))
    assert deviation(mutant, paper) > 1e-4


def test_psld_without_an_adjoint_says_what_else_there_is() -> None:
    @dataclasses.dataclass(frozen=True)
    class Squared:
        def forward(self, x: Tensor) -> Tensor:
            return x**2

    prior = Prior(Coded(torch.zeros(DIM).double(), torch.eye(DIM).double()), DIM, Costs())
    problem = Problem(Squared(), normal(3, BATCH, 1, DIM), features=lambda y: y)
    with pytest.raises(InputError, match="adjoint: take dps"):
        psld.PSLD().step(State(normal(7, BATCH, 1, DIM)), Step(0, 0.9, 0.6, problem, prior, Noises()))


def test_passes_are_those_that_the_pages_say() -> None:
    spent = {}
    for name, (solver, _) in CASES.items():
        if "," in name or name == "flow-chef":
            continue
        prior = Prior(Coded(torch.zeros(DIM).double(), torch.eye(DIM).double()), DIM, Costs())
        problem = Problem(Hole(4, 6), Hole(4, 6).forward(normal(3, BATCH, 1, DIM)), features=lambda y: y)
        state = type(solver)().step(State(normal(7, BATCH, 1, DIM)), Step(0, 0.9, 0.6, problem, prior, Noises()))
        assert not state.z.requires_grad, name
        costs = prior.costs
        spent[name] = tuple(each // BATCH for each in (costs.network_forward, costs.network_backward,
                            costs.decoder_forward, costs.decoder_backward, costs.encoder_forward))  # fmt: skip
    assert spent == {
        "psld": (1, 2, 3, 2, 1),
        "resample": (1, 0, 8, 4, 0),
        "sitcom": (5, 2, 4, 2, 0),
        "red-diff": (1, 0, 2, 1, 0),
        "pnp-flow": (1, 0, 2, 1, 0),
        "flow-dps": (1, 0, 6, 3, 0),
        "flair": (1, 0, 8, 4, 0),
        "latent-daps": (2, 0, 12, 11, 0),
    }
