"""The solver that fits the decoded audio and encodes the change."""

from dataclasses import replace

import torch
from torch import Tensor

from diffmusic.prior import Costs, Prior
from diffmusic.problem import Operator, Problem
from diffmusic.solver import State, Step, fitted_audio
from diffmusic.testing.oracle import GaussianPrior
from diffmusic_solvers.reencode import Reencode
from tests.draws import normal

DIM = 12


MAP = torch.linalg.qr(normal(1, DIM, DIM)).Q
KEEP = torch.arange(DIM) < 7


class Folded(GaussianPrior):
    """A latent that is not the audio, and an encoder that does not quite undo the decoder."""

    def decode(self, z: Tensor, samples: int) -> Tensor:
        return torch.tanh(z @ MAP)

    def encode(self, x: Tensor) -> Tensor:
        return (0.9 * torch.atanh(x.clamp(-0.999, 0.999)) + 0.05) @ MAP.T


class Mask:
    def forward(self, x: Tensor) -> Tensor:
        return x * KEEP


class Sum:
    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1, keepdim=True)


def step(operator: Operator, y: Tensor, sources: int = 1, noise: float = 0.0) -> Step:
    prior = Prior(Folded(torch.zeros(DIM).double(), torch.eye(DIM).double()), DIM, Costs(), sources=sources)
    return Step(0, 0.9, 0.6, Problem(operator, y, noise=noise), prior, lambda like: torch.zeros_like(like))


def consistent(solver: Reencode, z: Tensor, setting: Step) -> Tensor:
    """``D*``, read off a move without noise: ``z' = D* + (sigma' / sigma) (z - D*)``."""
    ratio = setting.sigma_next / setting.sigma
    moved = replace(solver, eta=0.0, repeats=1).step(State(z), setting).z
    return (moved - ratio * z) / (1 - ratio)


def test_what_was_measured_is_replaced_and_the_change_alone_is_encoded() -> None:
    z, y = normal(2, 3, 1, DIM), 0.3 * normal(3, 3, 1, DIM) * KEEP
    setting = step(Mask(), y)
    clean = z / (1 + 0.9**2)  # the posterior mean under a standard normal prior
    audio = torch.tanh(clean @ MAP)
    wanted = torch.where(KEEP, y, audio)
    change = 0.9 * (torch.atanh(wanted) - torch.atanh(audio)) @ MAP.T
    torch.testing.assert_close(consistent(Reencode(), z, setting), clean + change)


def test_nothing_changes_where_the_estimate_already_explains_the_measurement() -> None:
    z = normal(2, 1, 1, DIM)
    clean = z / (1 + 0.9**2)
    fitting = step(Mask(), torch.tanh(clean @ MAP) * KEEP)
    torch.testing.assert_close(consistent(Reencode(), z, fitting), clean)


def test_the_fit_stops_at_what_noise_explains() -> None:
    z, y = normal(2, 1, 1, DIM), 0.3 * normal(3, 1, 1, DIM) * KEEP
    setting = step(Mask(), y, noise=0.1)
    fitted = fitted_audio(torch.tanh(z @ MAP), setting, 50)
    misfit, floor = setting.problem.misfit(fitted, "waveform"), setting.problem.floor("waveform")
    assert bool((misfit <= floor).all())
    assert bool((misfit > 0).all())


def test_sources_share_what_is_missing_and_an_ill_conditioned_operator_comes_closer_with_every_step() -> None:
    z, y = normal(2, 2, 1, DIM), 0.3 * normal(3, 1, 1, DIM)
    setting = step(Sum(), y, sources=2)
    audio = setting.prior.decode(z)
    fitted = fitted_audio(audio, setting, 1)
    torch.testing.assert_close(fitted.sum(1, keepdim=True), y)
    torch.testing.assert_close(fitted - audio, ((y - audio.sum(1, keepdim=True)) / 2).expand_as(audio))

    class Uneven:
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.linspace(0.05, 1, DIM)

    truth = 0.3 * normal(4, 1, 1, DIM)
    uneven = step(Uneven(), Uneven().forward(truth))
    errors = [float((fitted_audio(truth * 0, uneven, n) - truth).norm()) for n in (1, 4, 16, 64)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.6 * errors[0]


def test_costs_are_two_encodings_and_one_decoding_a_move_and_no_backward() -> None:
    setting = step(Mask(), normal(3, 4, 1, DIM) * KEEP)
    Reencode(repeats=3).step(State(normal(2, 4, 1, DIM)), setting)
    spent = {name: count for name, count in setting.prior.costs.as_dict().items() if count}
    assert {name: count for name, count in spent.items() if name != "network_calls"} == {
        "network_forward": 3 * 4,
        "decoder_forward": 3 * 4,
        "encoder_forward": 2 * 3 * 4,
    }
