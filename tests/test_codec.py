"""Damage that cannot be differentiated: the operator ``codec``, and ``enkg``, which asks for forward passes alone."""

import dataclasses
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from diffmusic.cli import main
from diffmusic.errors import InputError
from diffmusic.prior import Costs, Prior
from diffmusic.problem import BoundOperator, Problem
from diffmusic.solver import State, Step
from diffmusic.solver.noise import generator
from diffmusic.solver.sampling import iterate
from diffmusic.testing.oracle import GaussianPrior, Oracle
from diffmusic_operators.codec import Codec
from diffmusic_solvers import enkg
from diffmusic_solvers.enkg import EnKG
from tests.draws import normal
from tests.mutation import changed
from tests.test_solver_parity import ABARS, BATCH, DIM, MATRIX, Noises, Operator, Toy, Y, network

RATE = 16000
coded = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="a codec needs ffmpeg")
TONE = 0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(RATE, dtype=torch.float64) / RATE)[None, None]


@coded
@pytest.mark.parametrize("codec", ["mp3", "aac", "opus"])
def test_what_is_coded_stays_in_its_place(codec: Any) -> None:
    y = Codec(codec=codec, bitrate=64).forward(TONE)
    assert y.shape == TONE.shape
    inside = slice(2000, 14000)
    # A sample of delay would leave an error of 0.03 of the tone's energy.
    assert (y - TONE)[..., inside].square().sum() < 0.005 * TONE[..., inside].square().sum()


@coded
def test_fewer_bits_lose_more_and_a_container_may_be_named() -> None:
    x = 0.1 * normal(0, 1, 1, 8000)
    errors = [(Codec(bitrate=rate).forward(x) - x).norm() for rate in (8, 32, 128)]
    assert errors == sorted(errors, reverse=True)
    assert torch.isfinite(Codec(codec="opus", container="matroska").forward(x)).all()
    with pytest.raises(InputError, match="ffmpeg cannot code this"):
        Codec(container="nothing").forward(x)


def test_it_codes_at_the_recordings_rate_whatever_the_priors_is() -> None:
    bound, _ = BoundOperator.of(Codec(), 0.1 * normal(0, 1, 4000).numpy(), 44100)
    assert bound.at(16000, 0.0).operator.rate == 44100  # type: ignore[attr-defined]


def test_a_missing_ffmpeg_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="needs the program ffmpeg, which is not here"):
        Codec().validate(1.0)
    with pytest.raises(InputError, match="needs the program ffmpeg"):
        Codec().forward(TONE)


@coded
@pytest.mark.parametrize(("words", "said"), [(["--solver", "mpgd"], "a codec has no gradient"), ([], "enkg")])
def test_a_run_takes_enkg_and_others_are_refused(
    tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "song.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), RATE)
    given = words or ["-s", "members=2"]
    with pytest.raises(SystemExit) as stop:
        main(["solve", "codec", str(tmp_path / "song.wav"), "--bitrate", "16", "--steps", "2", *given, "-o",
              str(tmp_path / "out.wav")])  # fmt: skip
    assert stop.value.code == (2 if words else 0)
    assert said in "".join(capsys.readouterr())
    assert (tmp_path / "out.wav").exists() == (not words)


# -- enkg --------------------------------------------------------------------------------------------------------------


def paper(x: Tensor, abar: float, abar_next: float, solver: EnKG) -> Tensor:
    """Algorithm 1 in the paper's ``sigma`` of ``z = x / sqrt(abar)``, particle by particle."""
    sigma, later = (((1 - a) / a) ** 0.5 for a in (abar, abar_next))
    z = x / abar**0.5

    def denoised(z: Tensor) -> Tensor:
        return z - sigma * network(abar**0.5 * z, abar)

    for _ in range(solver.updates if later else 0):
        values = torch.tanh(denoised(z) @ MATRIX.T)
        moved = z.clone()
        for item in range(BATCH):
            error, apart = (
                (values[:, item] - Y[item]).flatten(1),
                (values[:, item] - values[:, item].mean(0)).flatten(1),
            )
            table = error @ apart.T / len(z)
            step = solver.guidance * (1 - later / sigma) / torch.linalg.matrix_norm(table)
            particles = z[:, item].flatten(1)
            moved[:, item, 0] = particles - step * table @ (particles - particles.mean(0))
        z = moved
    return abar_next**0.5 * (z + (later - sigma) * (z - denoised(z)) / sigma)


def deviation(solver: Any) -> float:
    prior = Prior(Toy(torch.zeros(DIM).double(), torch.eye(DIM).double()), DIM, Costs())
    problem = Problem(Operator(), Y, features=lambda y: y)
    ours, theirs, start = Noises(), Noises(), normal(7, BATCH, 1, DIM)
    sigma = ((1 - ABARS[0]) / ABARS[0]) ** 0.5
    state = State(start / ABARS[0] ** 0.5)
    drawn = [sigma * ABARS[0] ** 0.5 * theirs(start) for _ in range(solver.members - 1)]
    x, worst = torch.stack([start, *drawn]), 0.0
    for index, (abar, abar_next) in enumerate(pairwise(ABARS)):
        sigma, later = (((1 - a) / a) ** 0.5 for a in (abar, abar_next))
        state = solver.step(state, Step(index, sigma, later, problem, prior, ours))
        x = paper(x, abar, abar_next, solver)
        worst = max(worst, float((abar_next**0.5 * state.z - x[0]).norm() / x[0].norm()))
    return worst


SOLVER = EnKG(members=5, guidance=0.7, updates=2)


def test_it_walks_as_its_paper() -> None:
    assert deviation(SOLVER) < 1e-10


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("z = z - self._guidance", "z = z + self._guidance"),
        ("errors - errors.mean(0)", "errors"),
        ("(1 - step.sigma_next / step.sigma)", "1"),
        ("if step.sigma_next > 0 else 0", ""),
        ("[step.sigma * step.noise", "[step.sigma_next * step.noise"),
    ],
)
def test_a_mistake_is_noticed(right: str, wrong: str) -> None:
    assert deviation(changed(enkg, right, wrong).EnKG(**dataclasses.asdict(SOLVER))) > 1e-3


@pytest.mark.parametrize(
    ("members", "steps", "error", "spread"), [(64, 12, 0.2, 0.92), (64, 25, 0.25, 0.97), (16, 25, 0.3, 1.4)]
)
def test_it_finds_the_posterior_without_a_gradient(members: int, steps: int, error: float, spread: float) -> None:
    # Few members find the mean, and too wide a spread: what is random in their covariance.
    oracle = Oracle.make()
    estimates = oracle.draw(EnKG(members=members), steps=steps, count=40)
    assert oracle.mean_error(estimates) < error
    assert oracle.spread_ratio(estimates) == pytest.approx(spread, abs=0.25)


def test_it_has_no_scale_and_takes_no_backward_pass() -> None:
    def walked(scale: float) -> Tensor:
        oracle = Oracle.make(16, 8)
        prior = GaussianPrior(scale * oracle.prior.mean, scale**2 * oracle.prior.covariance)
        problem = Problem(oracle.operator, scale * oracle.measured.expand(1, 1, -1), features=prior.mel)
        costs, sigmas = Costs(), [scale * sigma for sigma in prior.sigmas(4).tolist()]
        *_, (_, state) = iterate(EnKG(members=4), problem, Prior(prior, 16, costs), sigmas, [generator(0)])
        assert (costs.network_backward, costs.decoder_backward) == (0, 0)
        assert (costs.network_forward, costs.decoder_forward) == (4 * (4 + 3), 4 * 3)
        return state.z / scale

    torch.testing.assert_close(walked(3.0), walked(1.0), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("space", ["mel", "waveform", "both"])
def test_residuals_add_up_to_the_misfit(space: Any) -> None:
    problem = Problem(Operator(), Y, features=lambda y: torch.tanh(y), noise=0.1)
    x = normal(5, BATCH, 1, DIM)
    torch.testing.assert_close(problem.residual(x, space).square().sum(1), problem.misfit(x, space))
