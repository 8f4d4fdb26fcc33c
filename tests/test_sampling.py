"""The one loop: seeds, batches, and runs that blow up."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import cast

import pytest
import torch
from torch import Tensor

from diffmusic.errors import Diverged
from diffmusic.prior import Backbone, Costs, Prior
from diffmusic.problem import Problem
from diffmusic.solver import State, Step
from diffmusic.solver.noise import generator, normal
from diffmusic.solver.sampling import iterate, sample
from diffmusic.testing.oracle import Oracle
from diffmusic_solvers.diffmusic import DiffMusic

ORACLE = Oracle.make(dim=8, rows=4)
SIGMAS = ORACLE.prior.sigmas(5).tolist()


def problem(count: int) -> Problem:
    return Problem(ORACLE.operator, ORACLE.measured.expand(count, 1, -1), features=ORACLE.prior.mel)


def prior() -> Prior:
    return Prior(ORACLE.prior, 8, Costs())


@dataclass(frozen=True)
class Exploding:
    at: int

    def step(self, state: State, step: Step) -> State:
        return replace(state, z=state.z * float("nan") if step.index == self.at else state.z)


def test_generators_are_functions_of_their_key() -> None:
    def draw(*key: int) -> torch.Tensor:
        return torch.randn(4, generator=generator(*key))

    assert torch.equal(draw(0, 1, 2), draw(0, 1, 2))
    keys = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (2**40, 0, 0)]
    assert len({tuple(draw(*key).tolist()) for key in keys}) == len(keys)


def test_noise_of_an_item_does_not_depend_on_its_batch() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    together = normal((3,), [generator(5), generator(6)], like)
    assert together.dtype == torch.float64
    assert torch.equal(together[1], normal((3,), [generator(6)], like)[0])


def test_an_item_alone_equals_the_item_in_a_batch() -> None:
    together = sample(DiffMusic(repeats=2), problem(3), prior(), SIGMAS, [generator(s) for s in (1, 2, 3)])
    alone = sample(DiffMusic(repeats=2), problem(1), prior(), SIGMAS, [generator(2)])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-12, atol=1e-12)


def test_steps_run_from_the_first_level_to_the_last() -> None:
    steps = [step for step, _ in iterate(DiffMusic(), problem(1), prior(), SIGMAS, [generator(0)])]
    assert [(step.sigma, step.sigma_next) for step in steps] == list(pairwise(SIGMAS))
    assert [step.index for step in steps] == [0, 1, 2, 3, 4]


def test_every_step_is_shown() -> None:
    told: list[tuple[int, float]] = []
    sample(
        DiffMusic(), problem(1), prior(), SIGMAS, [generator(0)],
        lambda step, state: told.append((step.index, step.sigma_next)),
    )  # fmt: skip
    assert told == [*enumerate(SIGMAS[1:])]


def test_a_run_that_leaves_the_finite_numbers_stops_there_and_says_where() -> None:
    walk = iterate(Exploding(at=2), problem(1), prior(), SIGMAS, [generator(0)])
    next(walk), next(walk)
    with pytest.raises(Diverged, match="step 3 of 5"):
        next(walk)


def test_a_schedule_of_one_level_is_refused() -> None:
    with pytest.raises(ValueError, match="two levels"):
        sample(DiffMusic(), problem(1), prior(), [1.0], [generator(0)])


def test_guidance_extrapolates_from_what_to_steer_away_from_and_is_counted() -> None:
    class Constant:
        def denoise(self, z: Tensor, sigma: float, condition: float) -> Tensor:
            return torch.full_like(z, condition)

    z = torch.zeros(2, 8)
    backbone = cast(Backbone, Constant())
    guided = Prior(backbone, 8, costs := Costs(), (1.0,), (0.25,), guidance=3.0)
    assert guided.denoise(z, 1.0).eq(0.25 + 3 * 0.75).all()
    assert costs.network_forward == 4
    for plain in (Prior(backbone, 8, costs, (1.0,), (0.25,), 1.0), Prior(backbone, 8, costs, (1.0,), (None,), 3.0)):
        costs.network_forward = 0
        assert plain.denoise(z, 1.0).eq(1.0).all()
        assert costs.network_forward == 2


def test_sources_have_prompts_of_their_own() -> None:
    class Constant:
        def denoise(self, z: Tensor, sigma: float, condition: float) -> Tensor:
            return z + condition

    joint = Prior(cast(Backbone, Constant()), 8, Costs(), (1.0, 2.0), (None,), sources=2)
    assert joint.denoise(torch.zeros(4, 1), 1.0).flatten().tolist() == [1.0, 2.0, 1.0, 2.0]
