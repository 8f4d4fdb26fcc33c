import numpy as np
import pytest
import soundfile
import torch
from diffmusic_red_diff.red_diff import REDDiff

from diffmusic.cli import main
from diffmusic.prior import Costs, Prior
from diffmusic.problem import Problem
from diffmusic.solver import State, Step
from diffmusic.solver.noise import generator
from diffmusic.solver.sampling import iterate
from diffmusic.testing import parametrize_with_checks
from diffmusic.testing.oracle import Oracle


@parametrize_with_checks([REDDiff()])
def test_it_keeps_its_contract(component, check):
    check(component)


def test_a_step_is_the_papers():
    """In the paper's own quantities: x_t = alpha m + sqrt(1 - alpha^2) eps, and the weight lambda / SNR^1/2."""
    oracle, solver, sigma, sigma_next = Oracle.make(dim=16, rows=8), REDDiff(pull=0.3), 0.8, 0.5
    problem = Problem(oracle.operator, oracle.measured.expand(1, 1, -1), features=oracle.prior.mel)
    step = Step(3, sigma, sigma_next, problem, Prior(oracle.prior, 16, Costs()), torch.zeros_like)
    mean, eps = (torch.randn(1, 1, 16, dtype=torch.float64, generator=generator(seed)) for seed in (0, 1))
    z = mean + sigma * eps
    alpha = 1 / np.sqrt(1 + sigma**2)
    predicted = (alpha * z - alpha * oracle.prior.denoise(z, sigma)) / np.sqrt(1 - alpha**2)
    weight = 0.3 * np.sqrt(1 - alpha**2) / alpha
    towards_music = mean - weight * (predicted - eps)
    moved = solver.step(State(z, memory=mean), step).z
    to_data = moved - towards_music
    residual = (oracle.operator.forward(mean) - oracle.measured) @ oracle.operator.matrix
    assert torch.cosine_similarity(to_data.flatten(), -residual.flatten(), dim=0) > 0.999999
    torch.testing.assert_close(to_data.norm(), torch.tensor(4 * sigma * alpha, dtype=torch.float64))


def test_the_last_state_is_the_estimate():
    oracle = Oracle.make(dim=16, rows=8)
    problem = Problem(oracle.operator, oracle.measured.expand(1, 1, -1), features=oracle.prior.mel)
    prior = Prior(oracle.prior, 16, Costs())
    *_, (_, state) = iterate(REDDiff(), problem, prior, oracle.prior.sigmas(5).tolist(), [generator(0)])
    assert torch.equal(state.z, state.memory)


def test_a_gap_is_solved_with_it(tmp_path):
    soundfile.write(tmp_path / "song.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), 16000)
    words = ["solve", "inpainting", tmp_path / "song.wav", "--gap", "0.2:0.3", "--solver", "red-diff", "--steps", "2",
             "-o", tmp_path / "out.wav"]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert not stop.value.code
    assert (tmp_path / "out.wav.json").exists()
