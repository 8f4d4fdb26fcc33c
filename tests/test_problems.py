"""The operators beside inpainting: each against its definition, written out another way."""

import math
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import fftconvolve, firwin
from torch import Tensor

from diffmusic.audio.resample import resample
from diffmusic.audio.sinc import sinc_resample
from diffmusic.audio.stft import rephased, windows_of
from diffmusic.errors import InputError
from diffmusic.parameters import bind
from diffmusic.problem import Problem
from diffmusic_operators.mixing import Mixing
from diffmusic_operators.resampling import Resampling
from diffmusic_operators.reverb import Reverb
from diffmusic_operators.stft_magnitude import StftMagnitude
from diffmusic_solvers.griffin_lim import GriffinLim
from diffmusic_solvers.wiener import Wiener


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tone(hertz: float, rate: int, seconds: float = 0.5) -> Tensor:
    return torch.sin(2 * torch.pi * hertz * torch.arange(round(seconds * rate), dtype=torch.float64) / rate)


@pytest.mark.parametrize(("rate_in", "rate_out"), [(16000, 8000), (8000, 16000), (44100, 16000), (16000, 11025)])
def test_sinc_resampling_agrees_with_soxr_and_does_not_alias(rate_in: int, rate_out: int) -> None:
    x = tone(440, rate_in) + 0.3 * tone(3000, rate_in)
    ours, theirs = sinc_resample(x, rate_in, rate_out), resample(x.numpy()[None], rate_in, rate_out)[0]
    middle = slice(len(theirs) // 4, -len(theirs) // 4)
    assert np.abs(ours.numpy()[: len(theirs)][middle] - theirs[middle]).max() < 1e-5
    if rate_out < rate_in:
        above = sinc_resample(tone(0.54 * rate_out, rate_in), rate_in, rate_out)
        assert above[len(above) // 4 : -len(above) // 4].abs().max() < 1e-4


def test_resampling_keeps_what_was_recorded_and_leaves_the_rest_to_the_estimate() -> None:
    operator = bind(Resampling(), sample_rate=16000, measured_rate=8000)
    truth, estimate = tone(440, 16000) + tone(6000, 16000), 0.5 * tone(440, 16000) + 0.7 * tone(6000, 16000)
    finished = operator.finish(estimate[None, None], operator.forward(truth[None, None]))[0, 0]
    middle = slice(2000, 6000)
    expected = tone(440, 16000) + 0.7 * tone(6000, 16000)
    assert (finished - expected)[middle].abs().max() < 1e-3


def test_rates_of_recording_and_result() -> None:
    assert Resampling(factor=3).clean_rate(16000) == 48000
    assert Resampling(rate=44100).clean_rate(8000) == 44100
    assert Resampling(factor=4).observed_rate(44100) == 11025
    with pytest.raises(InputError, match="cannot be divided by 2"):
        Resampling().observed_rate(11025)
    with pytest.raises(InputError, match="already has 16000 Hz"):
        bind(Resampling(rate=16000), sample_rate=16000, measured_rate=16000).validate(1.0)


def test_magnitudes_are_librosas() -> None:
    x = noise(1, 1, 5000)
    expected = np.abs(librosa.stft(x[0, 0].numpy(), n_fft=512, hop_length=128))
    np.testing.assert_allclose(StftMagnitude(n_fft=512, hop=128).forward(x)[0, 0].numpy().T, expected, atol=1e-10)


def test_magnitudes_tell_the_power_of_the_audio() -> None:
    x = 0.3 * noise(3, 1, 48000)
    operator = StftMagnitude()
    expected = x.square().mean(-1)
    assert torch.allclose(operator.power(operator.forward(x)).flatten(), expected.flatten(), rtol=0.03)


def test_magnitudes_of_another_n_fft_are_refused() -> None:
    with pytest.raises(InputError, match="has 513"):
        StftMagnitude().measurement(torch.zeros(1, 1, 10, 257))
    with pytest.raises(InputError, match="negative"):
        StftMagnitude().measurement(torch.full((1, 1, 10, 513), -1.0))
    with pytest.raises(ValueError, match="leaves samples unseen"):
        StftMagnitude(n_fft=512, hop=400)


def test_finished_magnitudes_are_nearer_to_those_measured() -> None:
    operator, truth = StftMagnitude(), tone(440, 16000)[None, None] + 0.1 * noise(1, 1, 8000)
    y, estimate = operator.forward(truth), tone(440, 16000)[None, None] + 0.1 * noise(1, 1, 8000, seed=1)
    before, after = ((operator.forward(x) - y).norm() for x in (estimate, operator.finish(estimate, y)))
    assert after < 0.5 * before
    alone = GriffinLim().estimate(Problem(operator, y))
    assert after < 1.1 * (operator.forward(alone) - y).norm(), "farther than without an estimate"


def test_momentum_brings_griffin_lim_nearer_to_the_magnitudes_than_none() -> None:
    operator = StftMagnitude()
    y = operator.forward(torch.stack([tone(220 * k, 16000) for k in (1, 2, 3, 5)]).sum(0)[None, None])

    def misfit(momentum: float) -> float:
        x = GriffinLim(momentum=momentum).estimate(Problem(operator, y))
        return float((operator.forward(x)[..., : y.shape[-2], :] - y).norm() / y.norm())

    assert misfit(0.99) < 0.8 * misfit(0.0)


def test_mixtures_are_weighted_sums_and_finished_sources_sum_to_them() -> None:
    operator = Mixing(count=3, weight=(1.0, 0.5, -2.0))
    x, estimate = noise(2, 3, 100), noise(2, 3, 100, seed=1)
    y = operator.forward(x)
    torch.testing.assert_close(y[:, 0], x[:, 0] + 0.5 * x[:, 1] - 2 * x[:, 2])
    finished = operator.finish(estimate, y)
    torch.testing.assert_close(operator.forward(finished), y)
    silent = operator.finish(torch.zeros_like(estimate), y)
    torch.testing.assert_close(silent, y * torch.tensor([1 / 3, 2 / 3, -1 / 6], dtype=y.dtype)[:, None])


def test_the_adjoint_of_a_mixture_has_its_weights() -> None:
    operator, x, y = Mixing(weight=(0.5, 2.0)), noise(2, 2, 50), noise(2, 1, 50, seed=1)
    assert float((operator.forward(x) * y).sum()) == pytest.approx(float((x * operator.adjoint(y)).sum()))


def test_shares_of_energy_have_the_levels_of_sources_that_sound_together() -> None:
    """Two noises of one level: shares that sum to the mixture are 3 dB too quiet, those whose energies do are not."""
    truth = torch.stack([noise(1, 1, 16000, seed=seed)[0, 0] for seed in (1, 2)])[None]
    levels = {}
    for shares in ("sum", "energy"):
        operator = Mixing(shares=shares)
        made = operator.finish(truth, operator.forward(truth))
        levels[shares] = 10 * math.log10(float(made.square().mean() / truth.square().mean()))
    assert levels["energy"] == pytest.approx(0, abs=0.2)
    assert levels["sum"] < -1.0


def test_estimates_with_wrong_phases_and_levels_still_share_a_mixture_out() -> None:
    low, high = tone(300, 16000, 1.0), 0.5 * tone(2500, 16000, 1.0)
    estimate = torch.stack([-0.7 * low, 1.4 * high.roll(2)])[None]
    finished = Mixing().finish(estimate, (low + high)[None, None])[0]
    for found, truth in zip(finished, (low, high), strict=True):
        assert (found - truth)[1000:-1000].norm() < 0.05 * truth.norm()


def test_known_sources_are_taken_off_the_recording(song, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    known = song("known.wav", seconds=0.5, subtype="DOUBLE")
    operator = bind(Mixing(count=2, known=(known,)), sample_rate=16000)
    assert operator.sources == 1
    unknown = noise(1, 1, 8000)
    mixture = unknown + torch.from_numpy(soundfile.read(known)[0])
    torch.testing.assert_close(operator.measurement(mixture), unknown)
    with pytest.raises(InputError, match=r"the mixture 1 of 0\.250 s"):
        operator.measurement(mixture[..., :4000])


def test_mixing_refuses_what_leaves_nothing_to_find() -> None:
    with pytest.raises(ValueError, match="nothing is left to find"):
        Mixing(count=2, known=(Path("a"), Path("b")))
    with pytest.raises(ValueError, match="2 weights for 3"):
        Mixing(count=3, weight=(1.0, 1.0))


def test_reverb_is_convolution_with_the_response() -> None:
    operator, x = Reverb(decay=0.2), noise(1, 2, 4000)
    h = operator.impulse(x).numpy()
    expected = np.stack([fftconvolve(row, h)[:4000] for row in x[0].numpy()])
    np.testing.assert_allclose(operator.forward(x)[0].numpy(), expected, atol=1e-10)


def test_the_synthetic_room_decays_as_it_says_and_is_the_same_at_every_rate() -> None:
    for rate in (16000, 44100):
        h = bind(Reverb(decay=0.6, direct=0.0), sample_rate=rate).impulse(noise(1)).numpy()
        energy = np.cumsum(np.square(h[round(0.01 * rate) :])[::-1])[::-1]
        decibels = 10 * np.log10(energy / energy[0])
        fall = decibels[round(0.05 * rate)] - decibels[round(0.35 * rate)]
        assert fall / 0.3 == pytest.approx(60 / 0.6, rel=0.1)
    low, high = (bind(Reverb(decay=0.3), sample_rate=rate) for rate in (16000, 48000))
    x = tone(1000, 48000)[None, None]
    wet = resample(high.forward(x)[0].numpy(), 48000, 16000)
    same = low.forward(torch.from_numpy(resample(x[0].numpy(), 48000, 16000))[None])[0].numpy()
    assert np.abs(wet - same)[:, 2000:6000].max() < 0.02 * np.abs(wet).max()


def invented(x: Tensor) -> Tensor:
    """The levels of a sound with the phases of noise."""
    return rephased(x, noise(*x.shape, seed=5), windows_of(0.064, 16000))


def test_finished_reverb_takes_levels_from_the_estimate_and_phases_from_the_recording() -> None:
    operator, truth = Reverb(decay=0.3), noise(1, 1, 16000) * (torch.arange(16000, 0, -1) % 4000 / 4000)
    y = operator.forward(truth)

    def error(x: Tensor) -> float:
        return float((x - truth).norm() / truth.norm())

    alone = Wiener(weight=operator.trust).estimate(Problem(operator, y))
    assert error(operator.finish(invented(truth), y)) < error(alone) < 0.1 < 1 < error(invented(truth))
    assert error(operator.finish(truth, y)) < 0.5 * error(alone)


def test_finished_reverb_has_what_the_room_lets_through_whatever_the_estimate() -> None:
    operator, truth = Reverb(decay=0.3), tone(700, 16000)[None, None]
    finished = operator.finish(torch.zeros_like(truth), operator.forward(truth))
    assert (finished - truth)[..., 1000:7000].norm() < 0.2 * truth.norm()


def test_finished_reverb_keeps_to_the_estimate_where_the_room_lets_nothing_through(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "low.wav", firwin(255, 4000, fs=16000), 16000, subtype="DOUBLE")
    operator, truth = Reverb(response=tmp_path / "low.wav"), noise(1, 1, 16000)
    estimate = invented(truth)
    y = operator.forward(truth)
    found, given, there = (torch.fft.rfft(x)[..., 4600:] for x in (operator.finish(estimate, y), estimate, truth))
    assert (found - given).norm() < 0.15 * given.norm() < 0.15 * (given - there).norm()


def test_a_silent_response_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), 16000)
    with pytest.raises(InputError, match="is silent"):
        Reverb(response=tmp_path / "silent.wav").validate(1.0)
