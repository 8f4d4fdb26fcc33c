"""The transition and Algorithm 1 against the papers' own variance-preserving formulas, in float64."""

import dataclasses
import math

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from diffmusic.prior import Costs, Prior
from diffmusic.problem import Problem
from diffmusic.solver import State, Step, correction, deviations, transition
from diffmusic.testing.oracle import GaussianPrior, Matrix
from diffmusic_solvers.diffmusic import DiffMusic
from tests.draws import normal

DIM = 12


def scheduler() -> DDIMScheduler:
    made = DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False
    )
    made.alphas_cumprod = made.alphas_cumprod.double()
    made.set_timesteps(50)
    return made


@dataclasses.dataclass(frozen=True, eq=False)
class EpsilonPrior(GaussianPrior):
    """A toy network ``eps(x, t)`` with no likeness to a posterior mean, so that nothing cancels by luck."""

    def epsilon(self, x: Tensor, abar: float) -> Tensor:
        return torch.tanh(x @ self.covariance) * (1 + abar)

    def denoise(self, z: Tensor, sigma: float, condition: object = None) -> Tensor:
        abar = 1 / (1 + sigma**2)
        return z - sigma * self.epsilon(math.sqrt(abar) * z, abar)


def setting(abar: float, abar_next: float) -> Step:
    prior = EpsilonPrior(torch.zeros(DIM, dtype=torch.float64), normal(1, DIM, DIM))
    problem = Problem(Matrix(normal(2, 5, DIM)), normal(3, 1, 1, 5), features=lambda y: y)
    sigma, sigma_next = (math.sqrt((1 - a) / a) for a in (abar, abar_next))
    return Step(0, sigma, sigma_next, problem, Prior(prior, DIM, Costs()), lambda like: normal(4, *like.shape))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("timestep", [980, 500, 20])
def test_transition_is_the_schedulers_own_step(eta: float, timestep: int) -> None:
    ddim = scheduler()
    abar, abar_next = (float(ddim.alphas_cumprod[t]) for t in (timestep, timestep - 20))
    step = setting(abar, abar_next)
    x, eps = normal(5, 1, 1, DIM), normal(6, 1, 1, DIM)
    noise = step.noise(x) if eta else None
    expected = ddim.step(eps, timestep, x, eta=eta, variance_noise=noise).prev_sample
    z = x / math.sqrt(abar)
    moved = transition(z, z - step.sigma * eps, step, eta)
    torch.testing.assert_close(moved * math.sqrt(abar_next), expected, rtol=1e-12, atol=1e-12)


def test_given_variance_adds_to_the_fresh_noise_by_the_square_of_what_is_left_of_the_clean_estimate() -> None:
    step = setting(0.4, 0.5)
    z, clean = normal(1, 2, 1, DIM), normal(2, 2, 1, DIM)
    k, s = deviations(step.sigma, step.sigma_next, 1.0)
    plain, wider = (transition(z, clean, step, 1.0, v) for v in (0.0, torch.tensor([0.0, 0.3])))
    assert torch.equal(plain[0], wider[0])
    expected = math.sqrt(s**2 + (1 - k / step.sigma) ** 2 * 0.3) - s
    torch.testing.assert_close(wider[1] - plain[1], expected * step.noise(z)[1], rtol=1e-6, atol=1e-7)
    assert torch.equal(transition(z, clean, step, 0.0, 0.3), transition(z, clean, step, 0.0))


def test_transition_to_zero_noise_is_the_clean_estimate() -> None:
    step = dataclasses.replace(setting(0.9, 0.95), sigma_next=0.0)
    z, clean = normal(1, 2, 1, DIM), normal(2, 2, 1, DIM)
    assert torch.equal(transition(z, clean, step, 1.0), clean)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_kept_and_fresh_noise_add_up_to_the_next_level(eta: float) -> None:
    k, s = deviations(3.0, 2.0, eta)
    assert math.hypot(k, s) == pytest.approx(2.0, rel=1e-14)
    assert s == pytest.approx(eta * 2.0 * math.sqrt(1 - 4 / 9), rel=1e-14)


def algorithm_1(x: Tensor, step: Step, gamma: float) -> Tensor:
    """Lines 4 to 8 of the paper, as printed, for a linear operator; returns x_{t-1}."""
    abar, abar_next = (1 / (1 + sigma**2) for sigma in (step.sigma, step.sigma_next))
    prior, matrix = step.prior.backbone, step.problem.operator
    assert isinstance(prior, EpsilonPrior)
    assert isinstance(matrix, Matrix)
    eps = prior.epsilon(x, abar)
    z0 = (x - math.sqrt(1 - abar) * eps) / math.sqrt(abar)
    gradient = 2 * (z0 @ matrix.matrix.T - step.problem.measured) @ matrix.matrix
    z0 = z0 - gamma * gradient
    eps_hat = (x - math.sqrt(abar) * z0) / math.sqrt(1 - abar)
    return math.sqrt(abar_next) * z0 + math.sqrt(1 - abar_next) * eps_hat


@pytest.mark.parametrize(("abar", "abar_next"), [(0.01, 0.03), (0.4, 0.5), (0.97, 0.99)])
@pytest.mark.parametrize("space", ["mel", "waveform"])
def test_diffmusic_is_algorithm_1_with_a_step_of_given_length(abar: float, abar_next: float, space: str) -> None:
    step = setting(abar, abar_next)
    x = normal(7, 1, 1, DIM)
    z = x / math.sqrt(abar)
    clean = step.prior.denoise(z, step.sigma)
    assert isinstance(step.problem.operator, Matrix)
    residual = step.problem.operator.forward(clean) - step.problem.measured
    gradient = 2 * step.problem.operator.adjoint(residual)
    gamma = 0.7 * math.sqrt(DIM) * step.sigma / math.sqrt(1 + step.sigma**2) / float(gradient.norm())
    solver = DiffMusic(rate=0.7, eta=0.0, repeats=1, corrections=1, space=space)  # type: ignore[arg-type]
    moved = solver.step(State(z), step).z
    expected = algorithm_1(x, step, gamma)
    torch.testing.assert_close(moved * math.sqrt(abar_next), expected, rtol=1e-11, atol=1e-12)
    # The test would notice a wrong sign and a factor of sqrt(abar): both move the result by far more.
    for wrong in (-gamma, gamma * math.sqrt(abar), gamma / math.sqrt(abar)):
        assert (algorithm_1(x, step, wrong) - expected).norm() > 1e-3 * expected.norm() * (1 - math.sqrt(abar))


def test_the_correction_is_a_fraction_of_the_remaining_spread_for_every_item() -> None:
    step = setting(0.4, 0.5)
    clean = step.prior.denoise(normal(8, 3, 1, DIM), step.sigma)
    lengths = correction(clean, step, 0.2, "mel").flatten(1).norm(dim=1)
    # At abar = 0.4 the frame's sigma is sqrt(0.6 / 0.4), and sigma / sqrt(1 + sigma^2) = sqrt(0.6).
    torch.testing.assert_close(lengths, torch.full((3,), 0.2 * math.sqrt(DIM * 0.6), dtype=torch.float64))


def test_step_is_unchanged_when_the_misfit_is_scaled() -> None:
    step = setting(0.4, 0.5)
    louder = dataclasses.replace(step, problem=dataclasses.replace(step.problem, features=lambda y: 1000 * y))
    clean = step.prior.denoise(normal(9, 1, 1, DIM), step.sigma)
    torch.testing.assert_close(correction(clean, louder, 1.5, "mel"), correction(clean, step, 1.5, "mel"))


def test_the_search_finds_the_least_misfit_along_the_gradient_of_a_linear_problem() -> None:
    step = setting(0.4, 0.5)
    clean = step.prior.denoise(normal(9, 3, 1, DIM), step.sigma)
    move = correction(clean, step, None, "waveform")
    assert isinstance(step.problem.operator, Matrix)
    residual = step.problem.operator.forward(clean) - step.problem.measured
    gradient = 2 * step.problem.operator.adjoint(residual)
    image = step.problem.operator.forward(gradient)
    gamma = (residual * image).sum(-1, keepdim=True) / image.square().sum(-1, keepdim=True)
    torch.testing.assert_close(move, gamma * gradient)


def test_the_search_has_no_scale_of_its_own() -> None:
    step = setting(0.4, 0.5)
    clean = step.prior.denoise(normal(9, 2, 1, DIM), step.sigma)
    move = correction(clean, step, None, "mel")
    louder = dataclasses.replace(step, problem=dataclasses.replace(step.problem, features=lambda y: 1000 * y))
    torch.testing.assert_close(correction(clean, louder, None, "mel"), move)
    torch.testing.assert_close(correction(clean, step, None, "mel", lambda g: 1e-6 * g), move)


def test_the_search_ends_at_a_misfit_that_rises_and_at_one_that_noise_explains() -> None:
    step = setting(0.4, 0.5)
    clean = step.prior.denoise(normal(9, 2, 1, DIM), step.sigma)
    assert not correction(clean, step, None, "mel", lambda g: -g).any()
    noisy = dataclasses.replace(step, problem=dataclasses.replace(step.problem, noise=100.0))
    assert not correction(clean, noisy, None, "mel").any()


def test_the_misfit_of_both_spaces_counts_an_error_like_the_measurement_as_a_nat_everywhere() -> None:
    problem = dataclasses.replace(setting(0.4, 0.5).problem, features=lambda y: 3 * y, noise=0.1)
    x = normal(5, 1, 1, DIM)
    mel, waveform, both = (problem.misfit(x, space) for space in ("mel", "waveform", "both"))
    worth = problem.measured.numel() / problem.measured.square().sum()
    torch.testing.assert_close(both, mel + worth * waveform)
    assert float(worth * waveform) > 0.1 * float(mel)
    floors = [problem.floor(space) for space in ("mel", "waveform", "both")]
    torch.testing.assert_close(floors[2], floors[0] + worth * floors[1])
    silent = dataclasses.replace(problem, measured=torch.zeros_like(problem.measured))
    torch.testing.assert_close(silent.misfit(x, "both"), silent.misfit(x, "mel"))


def test_a_flat_misfit_corrects_nothing() -> None:
    step = setting(0.4, 0.5)
    silent = dataclasses.replace(step, problem=dataclasses.replace(step.problem, features=lambda y: 0 * y))
    for rate in (1.5, None):
        assert torch.equal(correction(normal(1, 1, 1, DIM), silent, rate, "mel"), torch.zeros(1, 1, DIM).double())


def test_costs_are_counted_one_an_item_and_no_gradient_goes_through_the_network() -> None:
    step = setting(0.4, 0.5)
    DiffMusic(repeats=3, corrections=2).step(State(normal(1, 4, 1, DIM)), step)
    assert step.prior.costs.as_dict() == {
        "network_forward": 3 * 4,
        "network_calls": 3,
        "network_backward": 0,
        "decoder_forward": 3 * 2 * 4 * 2,  # once more for the line search
        "decoder_backward": 3 * 2 * 4,
        "encoder_forward": 0,
        "encoder_backward": 0,
    }
