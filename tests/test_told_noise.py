"""What solvers are told of a recording with noise, through ``restore``: measurement, gain and floor."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from diffmusic.audio.noise_spectrum import NoiseSpectrum
from diffmusic.audio.resample import resample
from diffmusic.audio.stft import STFT, spectrum
from diffmusic.errors import DiffmusicError, InputError
from diffmusic.jobs.inputs import damaged
from diffmusic.parameters import bind
from diffmusic.problem.operator import observed_rate
from diffmusic.solver import State, Step
from diffmusic.tasks.loading import load_operator
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings
from diffmusic.testing.oracle import MelPrior
from diffmusic_operators.stft_magnitude import StftMagnitude

PRIOR = MelPrior(torch.zeros(1), torch.eye(1), excerpt_seconds=10.0)
SECONDS = 2.0
OPERATORS = (
    "inpainting gap=0.5:1", "resampling", "resampling factor=4", "stft-magnitude", "mixing", "reverb decay=0.4"
)  # fmt: skip


@dataclass(frozen=True)
class Keeps:
    """Solver that keeps its problem, and leaves the noise as it is."""

    kept: list[Any]

    def step(self, state: State, step: Step) -> State:
        self.kept.append(step)
        return State(0.001 * state.z)


def music(rate: int, sources: int = 1, seed: int = 0) -> np.ndarray:
    """Notes with partials up to 6 kHz, or four fifths of the Nyquist frequency, that decay, (sources, time)."""
    random, time = np.random.default_rng(seed), np.arange(round(SECONDS * rate)) / rate
    rows = []
    for _ in range(sources):
        row = np.zeros(len(time))
        for start in np.arange(0, SECONDS, 0.25):
            pitch, since = 110 * 2 ** (random.integers(0, 24) / 12), np.maximum(0, time - start)
            for partial in range(1, int(min(6000, 0.4 * rate) / pitch)):
                swing = np.sin(2 * np.pi * partial * pitch * since + random.uniform(0, 6))
                row += (time >= start) * 0.1 / partial * np.exp(-since * (3 + partial / 4)) * swing
        rows.append(row)
    return np.stack(rows)


def told(operator: str, rate: int, snr: float | None, **settings: Any) -> tuple[Any, Any, Step, np.ndarray, float]:
    """The operator, its measurement, the step that a solver was given, the truth at the prior's rate, the deviation."""
    component = load_operator(operator)
    clean = music(rate, 2 if operator == "mixing" else 1)
    measured, measured_rate, deviation = damaged(component, clean, rate, snr=snr, seed=3)
    kept: list[Step] = []
    chosen = RestoreSettings(steps=1, finish=False, **({"noise_std": deviation} | settings))
    try:
        restore(measured, measured_rate, component, Keeps(kept), PRIOR, chosen, length=clean.shape[-1])
    except DiffmusicError:
        if not kept:
            raise
    low = resample(clean, rate, 16000, kept[0].prior.samples)
    return component, measured, kept[0], low[None] if operator == "mixing" else low[:, None], deviation


def cases() -> list[Any]:
    rates = {"resampling": (16000,), "resampling factor=4": (16000, 32000, 44100, 48000)}
    return [(operator, rate) for operator in OPERATORS for rate in rates.get(operator, (8000, 16000, 44100))]


@pytest.mark.parametrize(("operator", "rate"), cases())
@pytest.mark.parametrize("snr", [20.0, 10.0])
def test_the_truth_misses_by_the_floor(operator: str, rate: int, snr: float) -> None:
    _, _, step, truth, _ = told(operator, rate, snr)
    x = torch.from_numpy(truth).float() / step.problem.gain
    # Rooms of two rates differ next to the Nyquist frequency, by less than the noise of one band.
    spaces = ("mel",) if operator.startswith("reverb") and rate > 16000 else ("mel", "waveform", "both")
    for space in spaces:
        ratio = float(step.problem.misfit(x, space).sum() / step.problem.floor(space).sum())  # type: ignore[arg-type, union-attr]
        assert 0.8 < ratio < 1.25, f"{space}: {ratio:.2f}"


@pytest.mark.parametrize(("operator", "rate"), cases())
def test_what_is_solved_is_what_was_measured_at_the_level_of_the_music(operator: str, rate: int) -> None:
    _, _, step, truth, _ = told(operator, rate, None)
    problem, x = step.problem, torch.from_numpy(truth).float()
    assert problem.told is None
    assert problem.floor() == 0.0
    level = np.sqrt(np.mean(np.square(truth)))
    if operator.startswith("inpainting"):
        lost = slice(8000, 16000)
        level = np.sqrt(np.square(np.delete(truth, np.r_[lost], -1)).mean())
        assert not problem.measured[..., lost].any()
    assert float(problem.gain) * 0.1 == pytest.approx(level, rel=0.15)  # type: ignore[arg-type]
    error = problem.predict(x / problem.gain) - problem.measured
    assert error.norm() < (0.1 if operator.startswith("reverb") else 0.01) * problem.measured.norm()


@pytest.mark.parametrize(("operator", "rate"), [("stft-magnitude", 44100), ("mixing", 8000), ("reverb", 8000)])
def test_nothing_is_compared_where_prior_or_recording_hold_nothing(operator: str, rate: int) -> None:
    problem = told(operator, rate, None)[2].problem
    assert problem.features is not None
    least = 8000 if rate > 16000 else rate / 2
    time = torch.arange(problem.measured.shape[-1] if operator != "stft-magnitude" else 32000) / max(rate, 16000)
    for hertz, heard in ((0.5 * least, True), (1.2 * least, False)):
        y = torch.sin(2 * torch.pi * hertz * time)[None, None]
        y = spectrum(y, StftMagnitude(measured_rate=rate).stft).abs() if operator == "stft-magnitude" else y
        middle = problem.features(y).flatten(0, -3)[0, 40:-40]
        assert bool(middle.max() > -2) is heard, hertz


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_gain_is_that_of_the_music_without_its_noise(operator: str) -> None:
    quiet, noisy = (float(told(operator, 16000, snr)[2].problem.gain) for snr in (None, 3.0))  # type: ignore[arg-type]
    assert noisy == pytest.approx(quiet, rel=0.1)


@pytest.mark.parametrize("operator", OPERATORS)
def test_simulated_noise_is_as_far_below_the_signal_as_it_says(operator: str) -> None:
    component = load_operator(operator)
    clean = music(16000, 2 if operator == "mixing" else 1)
    (noisy, _, deviation), (exact, *_) = (damaged(component, clean, 16000, snr=snr) for snr in (20.0, None))
    signal = clean if operator == "stft-magnitude" else exact
    assert 20 * np.log10(np.sqrt(np.mean(np.square(signal))) / deviation) == pytest.approx(20, abs=0.01)
    if operator != "stft-magnitude":
        assert np.std(noisy - exact) == pytest.approx(deviation, rel=0.03)
    else:
        silent = damaged(component, 0 * clean, 16000, noise_std=deviation)[0]
        power = deviation**2 * 1024 * 3 / 8  # of a Hann window
        assert np.mean(np.square(silent)) == pytest.approx(power, rel=0.05)


def test_no_noise_is_expected_where_nothing_was_measured() -> None:
    _, _, step, _, _ = told("inpainting gap=0.5:1", 16000, 20.0)
    noise = step.problem.told
    assert noise is not None
    assert not noise.measured[..., 8000:16000].any()
    assert noise.measured[..., :8000].std() == pytest.approx(float(noise.draws.std()), rel=0.05)


@pytest.mark.parametrize("space", ["mel", "waveform", "both"])
def test_without_noise_the_misfit_is_that_of_the_features(space: Any) -> None:
    _, _, step, truth, _ = told("reverb decay=0.4", 16000, None)
    problem, x = step.problem, torch.from_numpy(0.5 * truth).float() / step.problem.gain
    predicted, y = problem.predict(x), problem.measured
    assert problem.features is not None
    mel = (problem.features(predicted) - problem.features(y)).square().sum()
    waveform = (predicted - y).square().sum()
    weight = problem.features(y).numel() / y.square().sum()
    wanted = {"mel": mel, "waveform": waveform, "both": mel + weight * waveform}[space]
    torch.testing.assert_close(problem.misfit(x, space), wanted[None])


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_gradient_is_finite_and_vanishes_far_below_the_noise(operator: str) -> None:
    _, _, step, truth, _ = told(operator, 16000, 20.0)
    problem = step.problem
    assert problem.features is not None
    steep = []
    for scale in (0.5, 1e-4):
        x = (scale * torch.from_numpy(truth).float() / problem.gain).requires_grad_()
        (gradient,) = torch.autograd.grad(problem.misfit(x).sum(), x)
        assert bool(torch.isfinite(gradient).all())
        steep.append(float((gradient * x.detach()).abs().sum()))
    assert steep[1] < 0.1 * steep[0]


def coloured(samples: int, rate: int, seed: int = 0) -> np.ndarray:
    """Noise that falls by 6 dB an octave above 500 Hz, (1, samples)."""
    hertz = np.fft.rfftfreq(samples, 1 / rate)
    shape = 1 / np.sqrt(1 + np.square(hertz / 500))
    return np.fft.irfft(np.fft.rfft(np.random.default_rng(seed).standard_normal((1, samples))) * shape, samples)


def decibels(estimate: NoiseSpectrum, hertz: np.ndarray, scale: float) -> np.ndarray:
    own = np.linspace(0, estimate.sample_rate / 2, estimate.density.shape[1])
    return np.asarray(10 * np.log10(np.interp(hertz, own, estimate.density[0]) / scale**2 * (1 + (hertz / 500) ** 2)))


HERTZ = np.array([200, 500, 1000, 2000, 4000, 7000])


def test_coloured_noise_is_known_from_a_stretch_and_from_the_least_powers() -> None:
    noise = 0.01 * coloured(8 * 16000, 16000)
    assert np.abs(decibels(NoiseSpectrum.of_stretch(noise[:, :16000], 16000), HERTZ, 0.01)).max() < 1.5
    assert np.abs(decibels(NoiseSpectrum.least(noise, 16000), HERTZ, 0.01)).max() < 1.5
    notes = 0.3 * np.tile(music(16000), 4)
    assert np.abs(decibels(NoiseSpectrum.least(notes + noise, 16000), HERTZ, 0.01)).max() < 5


def test_noise_is_drawn_with_its_spectrum_and_keeps_its_density_at_another_rate() -> None:
    density = NoiseSpectrum(np.array([[4.0, 1.0, 0.0]]), 16000)
    draws = density.draw(32000, 2, (0,))
    assert draws.shape == (2, 1, 32000)
    for rate in (8000, 16000, 48000):
        settings = STFT(512, 128, rate)
        again = torch.from_numpy(resample(draws.numpy(), 16000, rate))
        power = spectrum(again, settings).abs().square().mean((0, -2))[0]
        inside = slice(8, int(0.8 * min(8000, rate / 2) / rate * 512))
        torch.testing.assert_close(power[inside], density.power(settings)[0][inside], rtol=0.25, atol=0.02 * rate)
    assert density.variance()[0] == pytest.approx(1.5, rel=0.01)
    assert float(draws.var()) == pytest.approx(1.5, rel=0.05)


def test_noise_from_a_stretch_of_the_recording_takes_the_place_of_a_deviation() -> None:
    component, rate = load_operator("reverb decay=0.4"), 16000
    clean = music(rate)
    clean[:, :8000] = 0
    y = bind(component, sample_rate=rate).forward(torch.from_numpy(clean)[None])[0].numpy()
    noise = 0.02 * coloured(y.shape[-1], rate)
    kept: list[Step] = []
    settings = RestoreSettings(steps=1, finish=False, noise_from="0:0.5")
    restore(y + noise, observed_rate(component, rate), component, Keeps(kept), PRIOR, settings)
    drawn = kept[0].problem.told
    assert drawn is not None
    deviation = float((drawn.draws * kept[0].problem.gain).std())
    assert deviation == pytest.approx(noise.std(), rel=0.15)


@pytest.mark.parametrize(
    ("given", "message"),
    [("1:9", "is no stretch of the recording"), ("0:0.01", "too short"), ("then", "START:END"), ("2:1", "no stretch")],
)
def test_a_stretch_that_is_none_is_refused(given: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        told("reverb decay=0.4", 16000, None, noise_from=given)


def test_magnitudes_of_an_array_hold_no_stretch_of_noise() -> None:
    with pytest.raises(InputError, match="needs a recording"):
        told("stft-magnitude", 16000, None, noise_from="0:1")
