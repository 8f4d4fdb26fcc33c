import numpy as np
import pytest
import soundfile
import torch
from diffmusic_red.red import RED

from diffmusic.cli import main
from diffmusic.prior import Costs, Prior
from diffmusic.problem import Problem
from diffmusic.solver import Optimisation, correction
from diffmusic.testing import parametrize_with_checks
from diffmusic.testing.oracle import Oracle


@parametrize_with_checks([RED()])
def test_it_keeps_its_contract(component, check):
    check(component)


def test_it_comes_to_rest_where_data_and_prior_balance():
    """An iteration is the paper's two gradients in turn; at its end neither half moves what the other leaves."""
    oracle, solver = Oracle.make(dim=16, rows=8), RED(level=0.7, pull=0.4)
    problem = Problem(oracle.operator, oracle.measured.expand(1, 1, -1), features=oracle.prior.mel)
    prior = Prior(oracle.prior, 16, Costs())
    task = Optimisation(problem, prior, lambda: torch.zeros(1, 1, 16, dtype=torch.float64), 400)
    *_, before, after = solver.optimise(task)
    torch.testing.assert_close(before, after)
    towards_music = after - 0.4 * (after - oracle.prior.denoise(after, 0.7))
    torch.testing.assert_close(towards_music - correction(towards_music, task, None, "mel"), after)
    a = oracle.operator.matrix
    torch.testing.assert_close(after @ a.T, oracle.measured.expand(1, 1, -1))
    # What the data do not see is where the denoiser leaves it.
    unseen = torch.eye(16, dtype=torch.float64) - a.T @ a
    torch.testing.assert_close((after - oracle.prior.denoise(after, 0.7)) @ unseen, torch.zeros_like(after), atol=1e-6,
                               rtol=0)  # fmt: skip


def test_a_gap_is_solved_with_it(tmp_path):
    soundfile.write(tmp_path / "song.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), 16000)
    words = ["solve", "inpainting", tmp_path / "song.wav", "--gap", "0.2:0.3", "--solver", "red", "--steps", "2",
             "-o", tmp_path / "out.wav"]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert not stop.value.code
    assert (tmp_path / "out.wav.json").exists()
