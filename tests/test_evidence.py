"""What of the latents counts as measured, against encoders whose reach is known."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.prior.backbone import Costs
from diffmusic.prior.prior import Prior
from diffmusic.problem import Problem
from diffmusic.problem.filling import filling
from diffmusic.solver.evidence import evidence
from diffmusic.testing.oracle import GaussianPrior, Matrix
from diffmusic_operators.inpainting import Inpainting
from diffmusic_operators.mixing import Mixing
from diffmusic_operators.resampling import Resampling
from diffmusic_operators.stft_magnitude import StftMagnitude
from tests.draws import normal

RATE, HOP = 16000, 400
FRAMES = 48
SAMPLES = FRAMES * HOP


class Waveform(GaussianPrior):
    """Each latent frame is 16 fixed sums over its own hop and one hop on either side: it sees 1,200 samples."""

    def latent_shape(self, samples: int) -> tuple[int, ...]:
        return (16, samples // HOP)

    def encode(self, x: Tensor) -> Tensor:
        weights = normal(5, 16, 1, 3 * HOP).to(x) / (3 * HOP) ** 0.5
        return torch.nn.functional.conv1d(x, weights, stride=HOP, padding=HOP)


class Bands(GaussianPrior):
    """Latents are the log energies of eight bands of 1 kHz, frame by frame, each seen by four channels."""

    def latent_shape(self, samples: int) -> tuple[int, ...]:
        return (4, samples // HOP, 8)

    def encode(self, x: Tensor) -> Tensor:
        frames = torch.nn.functional.pad(x[:, 0], (HOP, HOP)).unfold(1, 3 * HOP, HOP)
        power = torch.fft.rfft(frames * torch.hann_window(3 * HOP).to(x)).abs().square()[..., :600]
        level = 0.5 * (power.unflatten(2, (8, 75)).mean(3) + 1e-8).log()
        return torch.stack([level + k for k in range(4)], 1)


def prior_of(kind: type, samples: int = SAMPLES) -> Prior:
    return Prior(kind(torch.zeros(1), torch.eye(1)), samples, Costs())


def music(seed: int = 1, batch: int = 1) -> Tensor:
    return 0.1 * normal(seed, batch, 1, SAMPLES)


def problem_of(operator: Any, x: Tensor) -> Problem:
    return Problem(operator, operator.forward(x))


@pytest.mark.parametrize("gaps", [((0.4, 0.65),), ((0.2, 0.3), (0.5, 0.7)), ((0.0, 0.2),), ((1.0, 1.2),)])
def test_known_are_the_frames_that_see_nothing_of_a_gap(gaps: Sequence[tuple[float, float]]) -> None:
    operator = Inpainting(gap=tuple(gaps), sample_rate=RATE)
    x, prior = music(), prior_of(Waveform)
    found = evidence(problem_of(operator, x), prior)
    seen = torch.ones(FRAMES, dtype=torch.bool)
    for start, stop in operator.damage(SAMPLES):
        for frame in range(FRAMES):
            seen[frame] &= (frame + 2) * HOP <= start or (frame - 1) * HOP >= stop
    known = found.known[0, 0] > 0
    assert bool((known | ~seen).all()), "a frame that was measured counts as unknown"
    # A frame that sees a few samples of the gap may count as known.
    assert int((known & ~seen).sum()) <= 2 * len(gaps)
    torch.testing.assert_close(found.latents[..., seen], prior.encode(x)[..., seen])


def test_known_latents_of_a_lower_rate_are_the_bands_below_its_nyquist_frequency() -> None:
    operator = Resampling(sample_rate=RATE, measured_rate=RATE // 2)
    x, prior = music(), prior_of(Bands)
    found = evidence(problem_of(operator, x), prior)
    known = found.known[0, 0, 2:-2]
    assert bool((known[:, :3] == 1).all())
    assert bool((known[:, 4:] == 0).all())
    truth = prior.encode(x)
    torch.testing.assert_close(found.latents[:, :, 2:-2, :3], truth[:, :, 2:-2, :3], atol=0.05, rtol=0)


def test_known_latents_of_a_rectangle_lie_outside_it_in_time_and_frequency() -> None:
    operator = Inpainting(region=((0.4, 0.8, 2000.0, 5000.0),), sample_rate=RATE)
    x, prior = music(), prior_of(Bands)
    found = evidence(problem_of(operator, x), prior)
    known = found.known[0, 0]
    assert bool((known[18:30, 2:5] == 0).all())
    assert bool((known[:, [0, 7]] == 1).all())
    assert bool((known[:12] == 1).all())
    assert bool((known[36:] == 1).all())


@pytest.mark.parametrize(
    "operator", [StftMagnitude(), Mixing(count=2), Matrix(torch.linalg.qr(normal(3, 400, 400)).Q[:200])]
)
def test_damage_without_a_place_is_refused(operator: Any) -> None:
    x = 0.1 * normal(1, 1, int(getattr(operator, "sources", 1)), 400)
    prior = Prior(GaussianPrior(torch.zeros(400).double(), torch.eye(400).double()), 400, Costs())
    prior = replace(prior, sources=x.shape[1])
    with pytest.raises(InputError, match="a place"):
        evidence(Problem(operator, operator.forward(x)), prior)


def test_the_two_fillings_explain_the_measurement_and_differ_inside_alone() -> None:
    operator = Inpainting(gap=((0.4, 0.6),), region=((0.8, 0.9, 1000.0, 3000.0),), sample_rate=RATE)
    problem = problem_of(operator, music())
    x, v = filling(problem, SAMPLES)
    for share in (0.2, 1.0):
        explained = operator.forward(x + share * v)
        # Taking a rectangle out twice takes a little more at its edges than taking it out once.
        assert float((explained - problem.measured).norm() / problem.measured.norm()) < 0.03
    assert float(v[..., 6400:9600].square().mean()) == pytest.approx(0.01, rel=0.5)
    assert float(v[..., :6000].abs().max()) == 0


def test_posterior_samples_of_one_recording_are_encoded_once() -> None:
    operator = Inpainting(gap=((0.4, 0.6),), sample_rate=RATE)
    x = torch.cat([music(1), music(2)])[[0, 1, 0, 0]]
    gain = torch.tensor([1.0, 1.0, 1.0, 2.0], dtype=torch.float64).reshape(-1, 1, 1)
    prior = prior_of(Waveform)
    together = evidence(Problem(operator, operator.forward(x), gain), prior)
    assert prior.costs.encoder_forward == 6
    for item in range(4):
        alone = evidence(Problem(operator, operator.forward(x[[item]]), gain[[item]]), prior)
        torch.testing.assert_close(together.latents[[item]], alone.latents)
        assert torch.equal(together.known[[item]], alone.known)


def test_uncertainty_is_over_what_is_unknown() -> None:
    operator = Inpainting(gap=((0.4, 0.6),), sample_rate=RATE)
    found = evidence(problem_of(operator, music()), prior_of(Waveform))
    free = (found.known == 0).expand_as(found.latents)
    z = torch.where(free, 0.6, 40.0).to(found.latents)
    torch.testing.assert_close(found.uncertainty(z, torch.zeros_like(z), 1.0), torch.tensor([0.64]).double())
