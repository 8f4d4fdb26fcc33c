"""Contract checks for solvers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.signal import Patched, whole
from diffmusic.audio.song import Song
from diffmusic.editor.contract import AudioEditor, Editor
from diffmusic.errors import InputError
from diffmusic.parameters import bind
from diffmusic.prior.backbone import Costs
from diffmusic.prior.prior import Prior
from diffmusic.problem.operator import is_noisy, sources
from diffmusic.problem.problem import Problem
from diffmusic.solver.contract import AnySolver, DirectSolver, OptimisingSolver, PartialSolver, SongSolver, WithPrior
from diffmusic.solver.noise import generator
from diffmusic.solver.sampling import iterate
from diffmusic.testing.checks import RATE, SAMPLES, Check, HasProbe, audio, frozen, relative
from diffmusic.testing.editors import editor_checks
from diffmusic.testing.oracle import Oracle
from diffmusic.testing.probes import PROBES


def solver_checks(solver: Any, tolerance: float = 0.5, steps: int = 50) -> list[Check]:
    """Return the checks that apply to this solver."""
    if isinstance(solver, Editor | AudioEditor):
        return editor_checks(solver)
    if isinstance(solver, DirectSolver | SongSolver):
        kinds = {DirectSolver: _direct, SongSolver: _song}
        return [_solver_contract, *(check for kind, check in kinds.items() if isinstance(solver, kind))]

    def posterior_mean(solver: Any) -> str:
        oracle, estimates = _answered(solver, Oracle.make, lambda oracle: oracle.draw(solver, steps))
        error, spread = oracle.mean_error(estimates), oracle.spread_ratio(estimates)
        assert error < tolerance, f"error of the posterior mean {error:.3f}, limit {tolerance:g} (unguided: about 1)"
        return f"error {error:.3f} of at most {tolerance:g}, spread {spread:.2f} of the posterior's"

    return [_solver_contract, _steps, posterior_mean]


def _solver_contract(solver: Any) -> str:
    assert isinstance(solver, AnySolver), "it has no method step, optimise, estimate, fill or edit"
    frozen(solver)
    return "frozen dataclass"


T = TypeVar("T")


def _answered(solver: Any, make: Callable[[], Oracle], run: Callable[[Oracle], T]) -> tuple[Oracle, T]:
    """A problem and what a solver makes of it: all samples are mixed in what is measured, or, where the solver says
    that it needs damage with a place, those in the middle are lost."""
    oracle = make()
    try:
        return oracle, run(oracle)
    except InputError:
        oracle = Oracle.with_hole(len(oracle.mean), len(oracle.mean) // 2)
        return oracle, run(oracle)


def _steps(solver: Any) -> str:
    _, detail = _answered(solver, lambda: Oracle.make(dim=16, rows=8), lambda oracle: _walk(solver, oracle))
    return detail


def _walk(solver: Any, oracle: Oracle) -> str:
    sigmas = oracle.prior.sigmas(6).tolist()

    def run(seeds: list[int]) -> Tensor:
        problem = Problem(oracle.operator, oracle.measured.expand(len(seeds), 1, -1), features=oracle.prior.mel)
        prior = Prior(oracle.prior, 16, Costs())
        states = []
        for step, state in iterate(solver, problem, prior, sigmas, [generator(seed) for seed in seeds]):
            states.append((state.z, state.z.clone()))
            assert step.index + 1 == len(states)
        assert all(torch.equal(now, then) for now, then in states), "a step changed the state it was given"
        if isinstance(solver, OptimisingSolver):
            assert len(states) == 6, f"of 6 iterations it tells {len(states)}"
            assert not states[-1][0].requires_grad, "the estimate carries a graph along"
        return states[-1][0]

    together = run([1, 2])
    assert torch.equal(together, run([1, 2])), "the same seeds give different results"
    different = relative(torch.cat([run([1]), run([2])]), together)
    assert different < 1e-6, f"an item in a batch differs from the item alone by {different:.1e}"
    assert together[0].sub(together[1]).abs().max() > 0, "two seeds give the same result"
    return f"repeatable; batch and alone differ by {different:.0e}"


def _direct(solver: Any) -> str:
    solver = bind(solver, sample_rate=RATE)
    taken = []
    # A solver for operators that are missing here may bring one of them.
    for name, operator in (
        PROBES | ({"its own probe": solver.probe()} if isinstance(solver, HasProbe) else {})
    ).items():
        x = audio(2, sources(operator), getattr(operator, "length", SAMPLES))
        y = operator.forward(x)
        kept = y.clone()
        try:
            noise = 0.01 if is_noisy(operator) else 0.0
            first, again = (solver.estimate(Problem(operator, y, noise=noise)) for _ in range(2))
        except InputError:
            continue  # it refuses this problem
        assert torch.equal(y, kept), f"{name}: it changed the measurement"
        assert first.shape == x.shape, f"{name}: the estimate has shape {tuple(first.shape)}, not {tuple(x.shape)}"
        assert bool(torch.isfinite(first).all()), f"{name}: the estimate is not finite"
        assert torch.equal(first, again), f"{name}: two calls give different results"
        taken.append(name)
    assert taken, f"it takes none of these problems: {', '.join(PROBES)}"
    return f"pure, repeatable, finite on {', '.join(taken)}"


def _song(solver: Any) -> str:
    """It fills some of a gap in two seconds of sound, or leaves all of it, and nothing besides changes."""
    for name in ("a gap", "a gap in two seconds"):
        operator = PROBES[name]
        lost = operator.damage(operator.length)
        song = Song.of(operator.forward(audio(1, 2, operator.length))[0].numpy(), RATE, lost)
        kept = whole(song.signal)
        try:
            first, again = (solver.fill(song) for _ in range(2))
        except InputError:
            continue  # it refuses so short a song
        assert np.array_equal(whole(song.signal), kept), f"{name}: it changed the measurement"
        filled, twice = (whole(Patched(song.signal, each.patches)) for each in (first, again))
        assert np.array_equal(filled, twice), f"{name}: two calls give different results"
        assert bool(np.isfinite(filled).all()), f"{name}: the estimate is not finite"
        places = [(each.start, each.stop) for each in first.patches]
        assert sorted([*places, *first.left]) == lost, f"{name}: it fills {places} and leaves {first.left} of {lost}"
        assert first.notes, f"{name}: it does not say what it chose"
        assert not first.left or isinstance(solver, PartialSolver), f"{name}: it leaves {first.left} to no other solver"
    if isinstance(solver, PartialSolver):
        assert isinstance(solver.rest(), WithPrior), "the solver of what is left has no method step or optimise"
    return "pure, repeatable, keeps what was observed"
