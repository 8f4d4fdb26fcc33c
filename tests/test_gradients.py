"""What a step down the misfit is worth: where gradients through vocoder and log-mel point."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from torch import Tensor

from diffmusic.audio.mel import LogMel, MelSpec, mel_filters
from diffmusic.audio.resample import resample
from diffmusic.backbones.envelope import follow
from diffmusic.backbones.musicldm import mini
from diffmusic.models.load import load_model
from diffmusic.parameters import bind
from diffmusic.problem import Problem
from diffmusic.solver import State, Step
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings
from diffmusic_operators.inpainting import Inpainting
from diffmusic_operators.resampling import Resampling
from diffmusic_operators.reverb import Reverb
from tests.draws import normal

LENGTH, CPU = 24000, torch.device("cpu")
CLIP = Path(__file__).parents[1] / "examples" / "clip.flac"


@pytest.fixture(scope="module")
def prior() -> Any:
    return mini()


def derivative(audio: Tensor, log_mel: Tensor, direction: Tensor) -> Tensor:
    """Of ``follow`` along a direction of the log-mel, by reverse mode twice."""
    leaf, weight = log_mel.clone().requires_grad_(), torch.zeros_like(audio, requires_grad=True)
    (pulled,) = torch.autograd.grad((follow(audio, leaf, LogMel()) * weight).sum(), leaf, create_graph=True)
    (pushed,) = torch.autograd.grad((pulled * direction).sum(), weight)
    return pushed


def test_a_nat_more_in_every_band_is_the_audio_again() -> None:
    # d/dc of e^c x at c = 0. The highest bin belongs to no band, and noise has next to nothing there.
    audio = 0.1 * normal(0, 1, LENGTH)
    log_mel = LogMel()(audio)
    change = derivative(audio, log_mel, torch.ones_like(log_mel))
    assert float((change - audio).norm() / audio.norm()) < 0.05


def test_a_band_raised_is_raised_in_the_log_mel_of_the_audio() -> None:
    audio = 0.1 * normal(1, 1, LENGTH)
    transform = LogMel()
    log_mel = transform(audio)
    direction = torch.zeros_like(log_mel)
    direction[:, :, 30] = 1.0
    step = 1e-3
    moved = (transform(audio + step * derivative(audio, log_mel, direction)) - log_mel) / step
    gained = moved[:, 10:-10].mean((0, 1))
    assert 0.5 < float(gained[30]) < 1.1
    assert float(gained[[*range(28), *range(33, 64)]].abs().max()) < 0.05


def test_values_are_those_of_the_vocoder_bit_for_bit(prior: Any) -> None:
    z = torch.randn(1, *prior.latent_shape(LENGTH), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = prior.decode(z, LENGTH)
    assert torch.equal(prior.decode(z.requires_grad_(), LENGTH), plain)
    assert torch.equal(dataclasses.replace(prior, vocoder_gradient="exact").decode(z, LENGTH), plain)


@dataclasses.dataclass(frozen=True)
class Keep:
    """A solver that solves nothing and keeps the problem it was given."""

    kept: list[Problem] = dataclasses.field(default_factory=list)

    def step(self, state: State, step: Step) -> State:
        self.kept.append(step.problem)
        return State(torch.zeros_like(state.z))


@pytest.fixture(scope="module")
def music(prior: Any) -> Tensor:
    """A second and a half of the example clip at the prior's level, (1, 1, time)."""
    audio, rate = soundfile.read(CLIP, always_2d=True, stop=3 * 44100)
    x = torch.from_numpy(resample(audio.T.mean(0)[None], rate, prior.sample_rate)).float()[None, :, -LENGTH:]
    return 0.1 * x / x.square().mean().sqrt()


def posed(prior: Any, operator: Any, rate: int, x: Tensor) -> Problem:
    """The problem that ``restore`` makes of what the operator measures."""
    solver = Keep()
    measured = bind(operator, sample_rate=prior.sample_rate, measured_rate=rate).forward(x)
    restore(measured[0].numpy(), rate, operator, solver, prior, RestoreSettings(steps=1, finish=False))
    return solver.kept[0]


def likeness(prior: Any, problem: Problem, x: Tensor, sigma: float) -> float:
    """The cosine between a step down the misfit from ``E[z_0 | z_sigma]`` and the way to the truth."""
    with torch.no_grad():
        truth = prior.encode(x)
        noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
        estimate = prior.denoise(truth + sigma * noise, sigma, prior.embed(None))
    leaf = estimate.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(problem.misfit(prior.decode(leaf, x.shape[-1])).sum(), leaf)
    return float(torch.nn.functional.cosine_similarity(-gradient.flatten(), (truth - estimate).flatten(), dim=0))


@pytest.mark.parametrize(
    ("operator", "rate"),
    [(Inpainting(gap=((0.5, 0.9),)), 16000), (Resampling(factor=2), 8000), (Reverb(decay=0.5), 16000)],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("sigma", [0.2, 2.0])
def test_the_gradient_points_to_the_truth_where_the_vocoders_own_does_not(
    prior: Any, music: Tensor, operator: Any, rate: int, sigma: float
) -> None:
    problem = posed(prior, operator, rate, music)
    exact = likeness(dataclasses.replace(prior, vocoder_gradient="exact"), problem, music, sigma)
    assert likeness(prior, problem, music, sigma) > max(0.35 if sigma > 1 else 0.15, 2 * exact)


def test_frames_count_by_what_was_measured_of_them(prior: Any, music: Tensor) -> None:
    problem = posed(prior, Inpainting(gap=((0.5, 0.9),)), 16000, music)
    assert problem.features is not None
    seen, mel = problem.features(problem.measured)[0, 0], prior.mel(problem.measured)[0, 0]
    assert torch.equal(seen[:46], mel[:46])
    assert torch.equal(seen[54:86], torch.zeros(32, mel.shape[1]))
    torch.testing.assert_close(seen[49], mel[49] * 0.578125)  # 592 of the 1024 samples around 0.495 s
    # No frame has the step to itself: without weights, two at the right edge had half of it.
    leaf = prior.encode(music).requires_grad_()
    (gradient,) = torch.autograd.grad(problem.misfit(prior.decode(leaf, LENGTH)).sum(), leaf)
    shares = gradient.square().sum((0, 1, 3)) / gradient.square().sum()
    assert float(shares.topk(2).values.sum()) < 0.3


def test_a_measurement_at_a_low_rate_is_compared_at_that_rate(prior: Any, music: Tensor) -> None:
    problem = posed(prior, Resampling(factor=2), 8000, music)
    assert problem.features is not None
    torch.testing.assert_close(
        problem.features(problem.measured), LogMel(MelSpec.at(8000))(problem.measured[0])[:, None]
    )
    assert MelSpec.at(16000) == MelSpec()
    assert all(
        bool((mel_filters(MelSpec.at(rate), torch.float64, CPU).sum(1) > 0).all()) for rate in (1000, 4000, 11025)
    )


def test_a_hifi_gan_is_differentiated_itself_unless_asked(tiny: Path) -> None:
    backbone = load_model(str(tiny))
    assert isinstance(backbone.describe(), dict)
    assert backbone.describe()["vocoder_gradient"] == "exact"
    assert mini().describe()["vocoder_gradient"] == "envelope"
    z = torch.randn(1, *backbone.latent_shape(8000), generator=torch.Generator().manual_seed(0)).requires_grad_()
    both = [type(backbone).load(tiny, vocoder_gradient=each) for each in ("exact", "envelope")]  # type: ignore[attr-defined]
    audio = [each.decode(z, 8000) for each in both]
    torch.testing.assert_close(audio[0], audio[1], rtol=0, atol=1e-6)
    gradients = [torch.autograd.grad(each.square().sum(), z)[0] for each in audio]
    assert all(float(gradient.norm()) > 0 for gradient in gradients)
    assert not torch.allclose(gradients[0], gradients[1])
