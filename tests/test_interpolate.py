"""Interpolation: what can be had without a prior."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from diffmusic.audio.linear_prediction import bridge, interpolated
from diffmusic.errors import InputError
from diffmusic.parameters import build
from diffmusic.problem import Problem
from diffmusic.tasks.restore import restore
from diffmusic_operators.inpainting import Inpainting
from diffmusic_solvers.interpolate import Interpolate

RATE = 16000


def sinusoids() -> Tensor:
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    partials = ((220.0, 0.3, 0.5), (554.4, 0.2, 1.0), (1318.5, 0.1, 2.0), (3000.0, 0.05, 3.0))
    tones = [level * torch.sin(2 * torch.pi * hertz * time + phase) for hertz, level, phase in partials]
    return torch.stack(tones).sum(0)[None, None]


def solve(solver: Interpolate, operator: Inpainting, clean: Tensor) -> Tensor:
    return solver.estimate(Problem(operator, operator.forward(clean)))


def sdr(truth: Tensor, estimate: Tensor) -> float:
    """Scale-invariant SDR, dB, written out once more."""
    x, y = truth.flatten().numpy(), estimate.flatten().numpy()
    scaled = (x @ y) / (x @ x) * x
    return float(10 * np.log10((scaled @ scaled) / ((y - scaled) @ (y - scaled))))


def test_a_line_is_exact_on_a_ramp() -> None:
    ramp = torch.linspace(-0.5, 0.7, RATE, dtype=torch.float64).repeat(2, 2, 1)
    operator = Inpainting(gap=((0.2, 0.3), (0.305, 0.5), (0.9, 0.9001)))
    assert not torch.equal(operator.forward(ramp), ramp)
    torch.testing.assert_close(solve(Interpolate("linear"), operator, ramp), ramp, rtol=0, atol=1e-12)


def test_a_line_goes_to_zero_at_the_edge_of_the_file() -> None:
    ones = torch.ones(1, 1, 100, dtype=torch.float64)
    filled = solve(Interpolate("linear"), Inpainting(gap=((0.0, 0.04),), sample_rate=100), ones)
    torch.testing.assert_close(filled[0, 0, :5], torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0]).double())
    filled = solve(Interpolate("linear"), Inpainting(gap=((0.96, 1.0),), sample_rate=100), ones)
    torch.testing.assert_close(filled[0, 0, -5:], torch.tensor([1.0, 0.8, 0.6, 0.4, 0.2]).double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_prediction_restores_20_ms_of_a_sum_of_sinusoids(dtype: torch.dtype) -> None:
    clean = sinusoids().to(dtype)
    operator = Inpainting(gap=((0.4, 0.42),))
    gap = slice(6400, 6720)
    assert sdr(clean[..., gap], solve(Interpolate(), operator, clean)[..., gap]) > 20
    assert sdr(clean[..., gap], solve(Interpolate("linear"), operator, clean)[..., gap]) < 5


@pytest.mark.parametrize("gap", [(0.0, 0.02), (0.98, 1.0)])
def test_prediction_restores_the_edges_of_a_file_from_one_side(gap: tuple[float, float]) -> None:
    clean = sinusoids()
    lost = slice(round(gap[0] * RATE), round(gap[1] * RATE))
    assert sdr(clean[..., lost], solve(Interpolate(), Inpainting(gap=(gap,)), clean)[..., lost]) > 20


def test_prediction_over_half_a_second_stays_as_loud_as_its_surroundings() -> None:
    clean = sinusoids()
    filled = solve(Interpolate(), Inpainting(gap=((0.25, 0.75),)), clean)
    assert float(filled.abs().max()) < 2 * float(clean.abs().max())


@pytest.mark.parametrize("method", ["linear", "autoregressive"])
def test_observed_samples_and_arguments_stay_as_they_are(method: str) -> None:
    clean = 0.1 * torch.randn(2, 2, RATE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    operator = Inpainting(mask="random", period=0.1, fraction=0.3)
    measured = operator.forward(clean)
    before = measured.clone()
    filled = Interpolate(method).estimate(Problem(operator, measured))  # type: ignore[arg-type]
    kept = operator.forward(torch.ones(1, 1, RATE))[0, 0].bool()
    assert torch.equal(filled[..., kept], clean[..., kept])
    assert torch.equal(measured, before)
    assert (filled.dtype, filled.shape) == (clean.dtype, clean.shape)
    assert torch.isfinite(filled).all()


def test_each_channel_is_filled_from_its_own_sound_and_each_gap_from_observed_sound() -> None:
    clean = torch.cat([sinusoids(), sinusoids().flip(-1)], dim=1)
    operator = Inpainting(gap=((0.4, 0.42), (0.43, 0.45)))
    both = solve(Interpolate(), operator, clean)
    for channel in (0, 1):
        assert torch.equal(both[:, [channel]], solve(Interpolate(), operator, clean[:, [channel]]))
    # What is put into the first gap is no context of the second.
    row = clean[0, 0].numpy()
    expected = bridge(row[6720:6880], row[7200:11200], 320, 512)
    np.testing.assert_allclose(both[0, 0, 6880:7200].numpy(), expected, atol=1e-12)
    # Nor is what the measurement holds in a gap.
    unmasked = Interpolate().estimate(
        Problem(operator, operator.forward(clean) + 5 * (clean - operator.forward(clean)))
    )
    assert torch.equal(unmasked, both)


def test_silence_is_filled_with_silence() -> None:
    assert not solve(Interpolate(), Inpainting(gap=((0.4, 0.5),)), torch.zeros(1, 1, RATE)).any()


def test_an_endless_context_is_refused() -> None:
    with pytest.raises(InputError, match=r"context: .*finite"):
        build(Interpolate, {"context": "inf"}, "solver 'interpolate'")


@dataclass(frozen=True)
class Quieter:
    """An operator that names no damage."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x


def test_an_operator_that_names_no_damage_is_refused() -> None:
    with pytest.raises(InputError, match="says where its damage is"):
        Interpolate().estimate(Problem(Quieter(), sinusoids()))


def test_a_recording_of_single_precision_is_restored_in_double() -> None:
    measured = np.zeros((1, 16000), dtype=np.float32)
    assert restore(measured, 16000, Inpainting(gap=((0.4, 0.6),)), Interpolate()).audio.dtype == np.float64


def test_interpolated_samples_leave_the_least_behind_the_filter() -> None:
    x = sinusoids()[0, 0].numpy()[:2000]
    roots = np.exp(2j * np.pi * np.array([220.0, 554.4, 1318.5, 3000.0]) / RATE)
    a = np.poly(np.concatenate([roots, roots.conj()])).real  # predicts these tones exactly
    np.testing.assert_allclose(interpolated(x, a, 900, 930), x[900:930], atol=1e-6)
    noisy = x + 0.05 * np.random.default_rng(0).standard_normal(len(x))
    mended = noisy.copy()
    mended[900:930] = interpolated(noisy, a, 900, 930)

    def left(y: np.ndarray) -> float:
        return float(np.square(np.convolve(y[890 - 8 : 950], a, "valid")).sum())

    for n in (900, 915, 929):
        for change in (-1e-3, 1e-3):
            other = mended.copy()
            other[n] += change
            assert left(other) > left(mended)
