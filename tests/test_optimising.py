"""The contract of solvers that optimise, and DITTO: its paper's formula, the oracle, its costs, a run."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import diffmusic
from diffmusic.errors import Diverged
from diffmusic.prior import Costs, Prior
from diffmusic.problem import Problem
from diffmusic.solver import Optimisation
from diffmusic.solver.noise import generator
from diffmusic.solver.sampling import iterate
from diffmusic.testing import parametrize_with_checks
from diffmusic.testing.oracle import GaussianPrior, Oracle
from diffmusic.testing.solvers import solver_checks
from diffmusic_solvers import ditto
from diffmusic_solvers.ditto import DITTO
from tests.draws import normal
from tests.mutation import changed
from tests.test_solver_parity import BATCH, DIM, Operator, Toy, Y, gradient, lengths, misfit, network

SIGMAS = (6.0, 2.5, 1.2, 0.5, 0.0)


class Levels(Toy):
    """The toy network with levels over which it stays near 1."""

    def sigmas(self, steps: int) -> Tensor:
        return torch.tensor(SIGMAS, dtype=torch.float64)


PRIOR = Levels(torch.zeros(DIM).double(), torch.eye(DIM).double())


def optimised(solver: Any, backbone: GaussianPrior = PRIOR, steps: int = 3, costs: Costs | None = None) -> Tensor:
    problem = Problem(Operator(), Y, features=lambda y: y)
    task = Optimisation(problem, Prior(backbone, DIM, costs or Costs()), lambda: normal(7, BATCH, 1, DIM), steps)
    *_, last = solver.optimise(task)
    return last  # type: ignore[no-any-return]


def paper(solver: DITTO, steps: int = 3) -> Tensor:
    """In ``x``, ``abar`` and ``eps``: DDIM from ``x_T``, Adam with its corrections of bias (or SGD on the root)."""
    abars = [1 / (1 + sigma**2) for sigma in SIGMAS]

    def sampled(noise: Tensor) -> Tensor:
        x = math.sqrt(1 - abars[0]) * noise
        for abar, abar_next in pairwise(abars):
            eps = network(x, abar)
            clean = (x - math.sqrt(1 - abar) * eps) / math.sqrt(abar)
            x = math.sqrt(abar_next) * clean + math.sqrt(1 - abar_next) * eps
        return x

    noise = normal(7, BATCH, 1, DIM)
    radius, first, second = lengths(noise), torch.zeros_like(noise), torch.zeros_like(noise)
    for number in range(1, steps + 1):
        if solver.optimiser == "sgd":
            noise = noise - solver.rate * gradient(lambda n: misfit(sampled(n)).sqrt(), noise)
            continue
        slope = gradient(lambda n: misfit(sampled(n)), noise)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        step = (first / (1 - 0.9**number)) / ((second / (1 - 0.999**number)).sqrt() + 1e-8)
        noise = noise - solver.rate * step
        noise = radius * noise / lengths(noise)
    return sampled(noise)


CASES = {"adam": DITTO(rate=0.2), "sgd": DITTO(rate=0.5, optimiser="sgd")}


@pytest.mark.parametrize("name", CASES)
def test_it_does_what_the_paper_says(name: str) -> None:
    torch.testing.assert_close(optimised(CASES[name]), paper(CASES[name]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("adam", "radius / norms(noise) * noise", "noise"),
        ("adam", "sigmas[0] * noise, sigmas)\n        for", "noise, sigmas)\n        for"),
        ("adam", "squared=adam", "squared=False"),
        ("sgd", "squared=adam", "squared=True"),
        ("sgd", "if adam else noise", "if True else noise"),
    ],
)
def test_a_mistake_is_noticed(name: str, right: str, wrong: str) -> None:
    mutant = changed(ditto, right, wrong).DITTO(**dataclasses.asdict(CASES[name]))
    assert not torch.allclose(optimised(mutant), paper(CASES[name]), rtol=1e-4)


def test_what_is_computed_again_is_counted() -> None:
    costs, levels, steps = Costs(), len(SIGMAS) - 1, 3
    optimised(DITTO(), steps=steps, costs=costs)
    assert costs.network_forward == BATCH * levels * (2 * steps + 1)
    assert costs.network_backward == BATCH * levels * steps
    assert costs.decoder_forward == costs.decoder_backward == BATCH * steps


def test_it_finds_the_posterior_mean_and_samples_around_it() -> None:
    # Gradient descent from a draw of the noise would end in a posterior sample; Adam's steps narrow them. With the
    # default of four levels the sampler itself is coarse: error 0.41, spread 0.36.
    oracle = Oracle.make()
    estimates = oracle.draw(DITTO(levels=25, rate=0.05), steps=60, count=100)
    assert oracle.mean_error(estimates) < 0.2
    assert oracle.spread_ratio(estimates) == pytest.approx(0.75, abs=0.15)


def test_it_has_no_scale() -> None:
    def walked(scale: float) -> Tensor:
        oracle = Oracle.make(16, 8)

        class Scaled(GaussianPrior):
            def sigmas(self, steps: int) -> Tensor:
                return scale * super().sigmas(steps)

        prior = Scaled(scale * oracle.prior.mean, scale**2 * oracle.prior.covariance)
        problem = Problem(oracle.operator, scale * oracle.measured.expand(1, 1, -1), features=prior.mel)
        *_, (_, state) = iterate(DITTO(), problem, Prior(prior, 16, Costs()), range(5), [generator(0)])
        return state.z / scale

    torch.testing.assert_close(walked(3.0), walked(1.0), rtol=1e-5, atol=1e-7)


def test_it_stops_at_the_floor_of_the_noise() -> None:
    oracle = Oracle.make(16, 8)
    problem = Problem(oracle.operator, oracle.measured.expand(1, 1, -1), features=oracle.prior.mel, noise=10.0)
    z = [state.z for _, state in iterate(DITTO(), problem, Prior(oracle.prior, 16, Costs()), range(4), [generator(0)])]
    assert all(torch.equal(each, z[0]) for each in z)


@dataclasses.dataclass(frozen=True)
class Descent:
    """A third party's: the latents themselves, by gradient descent from noise."""

    rate: float = 0.3
    fails: bool = False
    change: Callable[[Tensor], Tensor] = lambda z: z

    def optimise(self, task: Optimisation) -> Iterator[Tensor]:
        z = task.noise()
        for number in range(task.steps):
            leaf = z.detach().requires_grad_()
            misfit = task.problem.misfit(task.prior.decode(leaf))
            (slope,) = torch.autograd.grad(misfit.sum(), leaf)
            z = z - self.rate * slope if not (self.fails and number == 2) else z / 0
            yield self.change(z)


@parametrize_with_checks(
    {"descent": Descent()}, expected_failures={"descent": {"posterior mean": "it never asks the prior"}}
)
def test_third_parties_have_checks(component: Any, check: Callable[[Any], str]) -> None:
    check(component)


@pytest.mark.parametrize("wrong", [lambda z: z.mean(0, keepdim=True).expand_as(z), lambda z: z.requires_grad_()])
def test_the_checks_notice_items_that_mix_and_graphs_that_stay(wrong: Callable[[Tensor], Tensor]) -> None:
    steps = next(check for check in solver_checks(Descent()) if check.__name__ == "_steps")
    with pytest.raises(AssertionError):
        steps(Descent(change=wrong))


def test_one_that_leaves_the_finite_numbers_is_stopped_and_its_step_is_said() -> None:
    oracle = Oracle.make(16, 8)
    problem = Problem(oracle.operator, oracle.measured.expand(1, 1, -1), features=oracle.prior.mel)
    with pytest.raises(Diverged, match=r"step 3 of 4$"):
        list(iterate(Descent(fails=True), problem, Prior(oracle.prior, 16, Costs()), range(5), [generator(0)]))


def test_a_run_tells_its_progress_samples_and_costs() -> None:
    rate, told, seen = 16000, list[float](), list[tuple[int, int, float]]()
    audio = 0.1 * np.random.default_rng(0).standard_normal((1, rate // 2))
    result = diffmusic.restore(
        audio, rate, "inpainting gap=0.2:0.3", solver="ditto levels=2", steps=2, samples=2,
        progress=told.append, on_step=lambda at: seen.append((at.step, at.steps, at.sigma)),
    )  # fmt: skip
    assert told == sorted(told)
    assert told[-1] == 1
    assert seen == [(1, 2, 0.0), (2, 2, 0.0)] * 2
    assert result.costs.decoder_backward == 2 * 2
    assert np.abs(result.audio[0] - result.audio[1]).max() > 1e-4
    kept = np.r_[0 : rate // 5, 3 * rate // 10 : rate // 2]
    assert np.array_equal(result.audio[0][:, kept], audio[:, kept])
