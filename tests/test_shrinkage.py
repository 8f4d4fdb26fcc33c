"""Finishing a noisy measurement: what is put back is weighed by the signal-to-noise ratio of each bin."""

from typing import Any

import numpy as np
import pytest
import torch

from diffmusic.audio.noise_spectrum import NoiseSpectrum
from diffmusic.audio.stft import rephased, windows_of
from diffmusic.bench.clips import Material
from diffmusic.bench.damage import Damage
from diffmusic.bench.named import Named
from diffmusic.jobs.inputs import damaged
from diffmusic.problem import BoundOperator
from diffmusic.problem.noise import Noise, gain
from diffmusic.problem.shrinkage import finished, shrunk
from diffmusic.tasks.loading import load_operator
from tests.test_told_noise import OPERATORS, music

OURS = (*OPERATORS, "noise")


def measured(
    operator: str, snr: float | None, rate: int = 16000
) -> tuple[BoundOperator, Any, Any, NoiseSpectrum | None]:
    """The bound operator, the truth and its measurement as items, and the noise."""
    component = load_operator(operator)
    clean = music(rate, 2 if operator == "mixing" else 1)
    y, measured_rate, deviation = damaged(component, clean, rate, snr=snr, seed=1)
    bound, given = BoundOperator.of(component, y, measured_rate)
    x = torch.from_numpy(clean)[None] if operator == "mixing" else torch.from_numpy(clean)[:, None]
    noise = NoiseSpectrum.white(deviation, 1, bound.measured_rate) if deviation else None
    return bound, x, bound.items(given), noise


def invented(x: Any) -> Any:
    """An estimate as a vocoder gives it: levels that are 2 dB off, and phases of noise."""
    draw = torch.randn(x.shape, generator=torch.Generator().manual_seed(5), dtype=x.dtype)
    return 1.25 * rephased(x, draw, windows_of(0.064, 16000))


@pytest.mark.parametrize("operator", OURS)
def test_without_noise_finishing_is_the_operators_bit_for_bit(operator: str) -> None:
    bound, x, y, noise = measured(operator, None)
    assert noise is None
    assert torch.equal(finished(bound, invented(x), y, noise), bound.finish(invented(x), y))


@pytest.mark.parametrize("operator", OURS)
def test_a_noise_of_nothing_changes_next_to_nothing(operator: str) -> None:
    bound, x, y, _ = measured(operator, None)
    quiet = shrunk(bound, invented(x), y, NoiseSpectrum.white(1e-9, 1, bound.measured_rate))
    assert (quiet - y).norm() < 1e-6 * y.norm()


@pytest.mark.parametrize("operator", OURS)
@pytest.mark.parametrize("snr", [20.0, 10.0])
def test_what_is_put_back_is_nearer_to_the_music_than_the_measurement_and_the_estimate(
    operator: str, snr: float
) -> None:
    bound, x, y, noise = measured(operator, snr)
    _, _, exact, _ = measured(operator, None)
    assert noise is not None
    back = shrunk(bound, invented(x), y, noise)
    assert (back - exact).norm() < 0.8 * (y - exact).norm()
    assert (back - exact).norm() < (bound.operator.forward(invented(x)) - exact).norm()


def test_where_there_is_nothing_but_noise_the_estimate_is_put_back() -> None:
    bound, x, _, _ = measured("noise", None)
    noise = 0.05 * np.random.default_rng(2).standard_normal((1, 1, x.shape[-1]))
    back = shrunk(bound, 0.01 * x, torch.from_numpy(noise), NoiseSpectrum.white(0.05, 1, 16000))
    assert back.norm() < 0.06 * float(np.linalg.norm(noise))


@pytest.mark.parametrize("highest", [None, 7600.0])
def test_above_the_priors_band_the_measurement_less_its_noise_stands_for_the_estimate(highest: float | None) -> None:
    rate = 44100
    bound, _, _, _ = measured("noise", None, rate)
    time = torch.arange(2 * rate, dtype=torch.float64) / rate
    high = (0.02 * torch.sin(2 * torch.pi * 12000 * time))[None, None]
    y = high + 0.01 * torch.randn(high.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    back = shrunk(bound, torch.zeros_like(y), y, NoiseSpectrum.white(0.01, 1, rate), highest)
    assert (back - high).norm() < 0.2 * (y - high).norm()
    level = back.norm() / high.norm()
    assert abs(level - 1) < (0.01 if highest else 0.1)


def test_noise_above_the_priors_band_is_taken_down_by_20_db_and_no_further() -> None:
    bound, _, _, _ = measured("noise", None, 44100)
    y = 0.01 * torch.randn(1, 1, 88200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    back = shrunk(bound, torch.zeros_like(y), y, NoiseSpectrum.white(0.01, 1, 44100), 0.0)
    assert 0.1 <= float(back.norm() / y.norm()) < 0.15


def test_bins_that_are_noise_among_noise_are_nothing() -> None:
    """Spectral subtraction alone leaves a third of them."""
    power = torch.from_numpy(np.random.default_rng(0).exponential(1.0, (1, 200, 100)))
    assert float((gain(power, torch.ones(1, 1, 100)) > 0).double().mean()) < 0.01
    power[:, 100, 50] = 200.0
    assert float(gain(power, torch.ones(1, 1, 100))[0, 100, 50]) == pytest.approx(0.995**0.5)


def test_magnitudes_with_noise_are_expected_as_the_root_of_both_powers() -> None:
    draws = torch.randn(3, 2, 1, 50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.complex128) * 2
    told = Noise(draws)
    y = torch.full((2, 1, 50, 4), 3.0, dtype=torch.float64)
    assert told.bins == pytest.approx(torch.full((2, 1, 1, 4), 4.0, dtype=torch.float64), rel=0.3)
    torch.testing.assert_close(told.expected(y), (9 + told.bins).sqrt().expand_as(y))
    misfits = [
        float((told.added(y, draw) - level).square().mean()) for draw in draws[:1] for level in (told.expected(y), y)
    ]
    assert misfits[0] < misfits[1]


def test_gaps_stay_empty_and_what_is_seen_is_put_back_around_them() -> None:
    bound, x, y, noise = measured("inpainting gap=0.5:1", 20.0)
    back = shrunk(bound, invented(x), y, noise)  # type: ignore[arg-type]
    assert not back[..., 8000:16000].any()


def test_the_bench_gives_a_mixtures_sources_in_the_order_that_fits_the_truth() -> None:
    clean = music(16000, 2)
    damage = Damage.of(Named.parse("mixing"), Material("two", clean, 16000), None, 0)
    assert list(damage.order(clean, clean[::-1] + 0.01 * clean, 16000)) == [1, 0]
    assert list(damage.order(clean, clean + 0.01 * clean[::-1], 16000)) == [0, 1]
