"""Loops of every solver that uses a prior: through noise levels, or through the iterations of an optimisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from diffmusic.errors import Diverged
from diffmusic.prior.prior import Prior
from diffmusic.problem.problem import Problem
from diffmusic.solver.contract import Optimisation, OptimisingSolver, State, Step, WithPrior
from diffmusic.solver.noise import normal

Watch = Callable[[Step, State], None]
"""Callback with each step and the state after it."""


def iterate(
    solver: WithPrior,
    problem: Problem,
    prior: Prior,
    sigmas: Sequence[float],
    generators: Sequence[torch.Generator],
) -> Iterator[tuple[Step, State]]:
    """Sample from noise at ``sigmas[0]`` to ``sigmas[-1]``, yielding each step with the state after it.

    A solver that optimises has as many iterations as there are steps; its states are clean, at noise level 0.

    Args:
        sigmas: decreasing noise levels; the last is 0 for a finished estimate.
        generators: one for each item of the batch.

    Raises:
        Diverged: a latent is no longer finite.
    """
    levels = [float(sigma) for sigma in sigmas]

    def noise(like: Tensor) -> Tensor:
        return normal(like.shape[1:], generators, like)

    def first() -> Tensor:
        # It has the measurement's dtype, so that float64 problems are solved in float64.
        return normal(prior.latent_shape, generators, problem.measured)

    def checked(step: Step, state: State) -> tuple[Step, State]:
        if not bool(torch.isfinite(state.z).all()):
            place = f"step {step.index + 1} of {len(levels) - 1}"
            raise Diverged(f"the solver diverged at {place}" + (f" (sigma {step.sigma:.3g})" if step.sigma else ""))
        return step, state

    if isinstance(solver, OptimisingSolver):
        for index, z in enumerate(solver.optimise(Optimisation(problem, prior, first, len(levels) - 1))):
            yield checked(Step(index, 0.0, 0.0, problem, prior, noise), State(z))
        return
    state = State(levels[0] * first())
    for index, (sigma, sigma_next) in enumerate(pairwise(levels)):
        step = Step(index, sigma, sigma_next, problem, prior, noise)
        state = solver.step(state, step)
        yield checked(step, state)


def sample(
    solver: WithPrior,
    problem: Problem,
    prior: Prior,
    sigmas: Sequence[float],
    generators: Sequence[torch.Generator],
    watch: Watch | None = None,
) -> Tensor:
    """Return the finished estimate, (batch, channels, time), decoded from the last latent of ``iterate``."""
    z = None
    for step, state in iterate(solver, problem, prior, sigmas, generators):
        z = state.z
        if watch:
            watch(step, state)
    if z is None:
        raise ValueError("sigmas needs at least two levels")
    with torch.no_grad():
        audio = prior.decode(z)
    if not bool(torch.isfinite(audio).all()):
        raise Diverged("the decoded estimate is not finite")
    return audio
