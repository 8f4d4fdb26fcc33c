"""What every solver is held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffmusic.parameters import bind
from diffmusic.prior import Costs, Prior
from diffmusic.problem import Problem
from diffmusic.sampling import generator, iterate
from diffmusic.solver import DirectSolver, Solver
from diffmusic.testing.checks import RATE, Check, audio, frozen, relative
from diffmusic.testing.oracle import Oracle


def solver_checks(solver: Any, tolerance: float = 0.5, steps: int = 50) -> list[Check]:
    """The checks that apply to this solver."""
    if isinstance(solver, DirectSolver):
        return [_solver_contract, _direct]

    def posterior_mean(solver: Any) -> str:
        oracle = Oracle.make()
        estimates = oracle.draw(solver, steps)
        error, spread = oracle.mean_error(estimates), oracle.spread_ratio(estimates)
        assert error < tolerance, f"error of the posterior mean {error:.3f}, limit {tolerance:g} (unguided: about 1)"
        return f"error {error:.3f} of at most {tolerance:g}, spread {spread:.2f} of the posterior's"

    return [_solver_contract, _steps, posterior_mean]


def _solver_contract(solver: Any) -> str:
    assert isinstance(solver, Solver | DirectSolver), "it has neither a method step nor a method estimate"
    frozen(solver)
    return "frozen dataclass"


def _steps(solver: Any) -> str:
    oracle = Oracle.make(dim=16, rows=8)
    sigmas = oracle.prior.sigmas(6).tolist()

    def run(seeds: list[int]) -> Tensor:
        problem = Problem(oracle.operator, oracle.measured.expand(len(seeds), 1, -1), features=oracle.prior.mel)
        prior = Prior(oracle.prior, 16, Costs())
        states = []
        for step, state in iterate(solver, problem, prior, sigmas, [generator(seed) for seed in seeds]):
            states.append((state.z, state.z.clone()))
            assert step.index + 1 == len(states)
        assert all(torch.equal(now, then) for now, then in states), "a step changed the state it was given"
        return states[-1][0]

    together = run([1, 2])
    assert torch.equal(together, run([1, 2])), "the same seeds give different results"
    different = relative(torch.cat([run([1]), run([2])]), together)
    assert different < 1e-6, f"an item in a batch differs from the item alone by {different:.1e}"
    assert together[0].sub(together[1]).abs().max() > 0, "two seeds give the same result"
    return f"repeatable; batch and alone differ by {different:.0e}"


@dataclass(frozen=True)
class _Gap:
    """A lost stretch in the middle, for solvers that only look at where the damage is."""

    def damage(self, samples: int) -> list[tuple[int, int]]:
        return [(samples // 2, samples // 2 + samples // 20)]

    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        for start, stop in self.damage(x.shape[-1]):
            y[..., start:stop] = 0
        return y


def _direct(solver: Any) -> str:
    solver = bind(solver, sample_rate=RATE)
    y = _Gap().forward(audio(2, 2))
    kept = y.clone()
    first, again = (solver.estimate(Problem(_Gap(), y)) for _ in range(2))
    assert torch.equal(y, kept), "it changed the measurement"
    assert first.shape == y.shape, f"the estimate has shape {tuple(first.shape)}, not {tuple(y.shape)}"
    assert bool(torch.isfinite(first).all()), "the estimate is not finite"
    assert torch.equal(first, again), "two calls give different results"
    return "pure, repeatable, finite"
