"""Edit-friendly inversion against the papers' own variance-preserving formulas, in float64."""

import dataclasses
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from diffmusic.editor import inversion, streamed_code
from diffmusic.editor.contract import Edit
from diffmusic.editor.ode import ascent
from diffmusic.prior import Costs
from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.guidance import Text
from diffmusic.prior.levels import levels, strength
from diffmusic.solver.noise import generator
from diffmusic.testing.editors import DIM, TextPrior, task, text_prior
from diffmusic_solvers.cycle_diffusion import CycleDiffusion
from diffmusic_solvers.ddim_inversion import DDIMInversion
from diffmusic_solvers.ddpm_inversion import DDPMInversion
from diffmusic_solvers.flow_edit import FlowEdit
from diffmusic_solvers.sdedit import SDEdit


class Bent(TextPrior):
    """A denoiser that is not linear, so that wrong arguments show: a Gaussian's, bent by a smooth function."""

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        return torch.tanh(super().denoise(z, sigma, condition)) + 0.1 * torch.sin(3 * z / (1 + sigma))


def bent() -> Bent:
    plain = text_prior()
    return Bent(plain.mean, plain.covariance)


SOURCE, TARGET = Text((-torch.ones(DIM).double(),)), Text((torch.ones(DIM).double(),))
GIVEN = task((TARGET,), SOURCE, prior=bent(), steps=10)


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


# -- the papers' own formulas, in x_t = sqrt(abar) z ---------------------------------------------------------------


def abar(sigma: float) -> float:
    return 1 / (1 + sigma**2)


def mu(x: Tensor, sigma: float, sigma_next: float, text: Text, eta: float) -> tuple[Tensor, float]:
    """mu_t(x_t) of arXiv:2304.06140, eq. 4, from the predicted noise, and sigma_t."""
    a, b = abar(sigma), abar(sigma_next)
    variance = eta**2 * (1 - b) / (1 - a) * (1 - a / b)
    epsilon = (x / math.sqrt(a) - bent().denoise(x / math.sqrt(a), sigma, text.conditions[0])) / sigma
    predicted = (x - math.sqrt(1 - a) * epsilon) / math.sqrt(a)
    return math.sqrt(b) * predicted + math.sqrt(1 - b - variance) * epsilon, math.sqrt(variance)


def paper(given: Edit, eta: float = 1.0) -> tuple[Tensor, list[Tensor]]:
    """Algorithm 1 of arXiv:2304.06140 under the source, sampling under the target; and the noise maps."""
    x = [math.sqrt(abar(s)) * (given.z0 + s * given.noise(i)) for i, s in enumerate(given.sigmas[:-1])] + [given.z0]
    maps, edited = [], x[0]
    for i, (a, b) in enumerate(pairwise(given.sigmas)):
        source, scale = mu(x[i], a, b, given.source, eta)
        target, _ = mu(edited, a, b, given.targets[0], eta)
        if scale:
            maps.append((x[i + 1] - source) / scale)
            edited = target + scale * maps[-1]
        else:  # the last step: the paper's sigma is 0, the residual is kept
            edited = target + (x[i + 1] - source)
    return edited, maps


@pytest.mark.parametrize("eta", [1.0, 0.5])
def test_ddpm_inversion_is_the_papers(eta: float) -> None:
    edited, maps = paper(GIVEN, eta)
    code = inversion.invert(GIVEN, inversion.independent_path(GIVEN), eta)
    assert relative(code.noise(eta), torch.stack(maps)) < 1e-10
    assert relative(DDPMInversion(eta=eta).edit(GIVEN), edited) < 1e-10
    # The test would notice: another eta is another result.
    assert relative(DDPMInversion(eta=0.9 * eta).edit(GIVEN), edited) > 1e-4


@pytest.mark.parametrize("order", [1, 2])
def test_a_streamed_code_is_the_kept_one_and_keeps_one_level(order: int) -> None:
    kept = inversion.invert(GIVEN, inversion.independent_path(GIVEN), 1.0, order)
    asked: list[int] = []

    def points(index: int) -> Tensor:
        asked.append(index)
        return inversion.independent_points(GIVEN)(index)

    streamed = streamed_code.StreamedCode(GIVEN, points, 1.0, order)
    for index in range(len(GIVEN.sigmas) - 1):
        mine, theirs = streamed.step(index), kept.step(index)
        for part in ("point", "following", "clean", "mean"):
            assert torch.equal(getattr(mine, part), getattr(theirs, part)), part
        assert streamed.step(index) is mine
    assert asked == [*range(len(GIVEN.sigmas))]  # each point of the path is drawn once
    # Kept where calls are shared, and where there is room.
    shared = dataclasses.replace(GIVEN, denoise=dataclasses.replace(GIVEN.denoise, batch=8))
    assert isinstance(streamed_code.coded(GIVEN), streamed_code.StreamedCode)
    assert isinstance(streamed_code.coded(shared), inversion.LatentCode)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed_code, "MOST", 10)
        assert isinstance(streamed_code.coded(shared), streamed_code.StreamedCode)
    assert relative(DDPMInversion(order=order).edit(shared), DDPMInversion(order=order).edit(GIVEN)) < 1e-9


def test_second_order_is_the_schedulers_own_formula() -> None:
    """x_t = (s_t / s) e^-h x + (1 - e^-2h) (D0 + D1 / 2) + s_t sqrt(1 - e^-2h) n, as the variance-exploding multistep
    SDE-DPM-Solver++ has it; the levels are not even, so that r is not 1."""
    sigmas = (5.0, 3.0, 1.2, 0.7, 0.3, 0.0)
    given = dataclasses.replace(GIVEN, sigmas=sigmas)

    def clean(x: Tensor, sigma: float, text: Text) -> Tensor:
        return bent().denoise(x, sigma, text.conditions[0])

    x = [given.z0 + s * given.noise(i) for i, s in enumerate(sigmas[:-1])] + [given.z0]
    edited = x[0]
    h_before, before = 0.0, [torch.zeros(0), torch.zeros(0)]
    for i, (a, b) in enumerate(pairwise(sigmas)):
        now = [clean(x[i], a, SOURCE), clean(edited, a, TARGET)]
        if b == 0:
            edited = now[1] + (x[i + 1] - now[0])
            continue
        h = math.log(a / b)
        d1 = [(d - e) / (h_before / h) if i else torch.zeros_like(d) for d, e in zip(now, before, strict=True)]
        drift = [(1 - math.exp(-2 * h)) * (d + 0.5 * e) for d, e in zip(now, d1, strict=True)]
        n = (x[i + 1] - b / a * math.exp(-h) * x[i] - drift[0]) / (b * math.sqrt(1 - math.exp(-2 * h)))
        edited = b / a * math.exp(-h) * edited + drift[1] + b * math.sqrt(1 - math.exp(-2 * h)) * n
        h_before, before = h, now
    assert relative(DDPMInversion(order=2).edit(given), edited) < 1e-10
    assert relative(DDPMInversion(order=1).edit(given), edited) > 1e-3


def test_cycle_diffusion_is_the_papers() -> None:
    given, x = GIVEN, math.sqrt(abar(GIVEN.sigmas[0])) * (GIVEN.z0 + GIVEN.sigmas[0] * GIVEN.noise(0))
    edited = x
    for i, (a, b) in enumerate(pairwise(given.sigmas)):
        epsilon = (x - math.sqrt(abar(a)) * given.z0) / math.sqrt(1 - abar(a))
        mean, scale = mu(x, a, b, given.source, 1.0)
        fresh = given.noise(i + 1) if b else 0.0
        following = math.sqrt(abar(b)) * given.z0 + math.sqrt(1 - abar(b) - scale**2) * epsilon + scale * fresh
        edited = mu(edited, a, b, given.targets[0], 1.0)[0] + (following - mean)
        x = following
    assert relative(CycleDiffusion().edit(given), edited) < 1e-10


def test_ddim_inversion_takes_the_network_at_the_noisier_level() -> None:
    given = GIVEN
    x = given.z0
    for low, high in zip((0.0, *given.sigmas[-2:0:-1]), given.sigmas[-2::-1], strict=True):
        scaled = x / math.sqrt(abar(low)) * math.sqrt(abar(high))
        z = scaled / math.sqrt(abar(high))
        epsilon = (z - bent().denoise(z, high, SOURCE.conditions[0])) / high
        clean = (x - math.sqrt(1 - abar(low)) * epsilon) / math.sqrt(abar(low))
        x = math.sqrt(abar(high)) * clean + math.sqrt(1 - abar(high)) * epsilon
    path = ascent(given)
    assert relative(path[0], x / math.sqrt(abar(given.sigmas[0]))) < 1e-10
    # Corrected, down again under the source is what went up, the better the more often.
    back = task((SOURCE,), SOURCE, steps=10)
    errors = [relative(DDIMInversion(corrections=n).edit(back), back.z0) for n in (0, 4, 60)]
    assert errors[2] < 1e-6 < errors[1] < errors[0]


def test_flow_edit_is_the_papers_on_straight_paths() -> None:
    """Algorithm 1 of arXiv:2412.08629 on x_t = (1 - t) x_0 + t n with velocities v = (x_t - D) / t."""
    given = GIVEN

    def velocity(x: Tensor, t: float, text: Text) -> Tensor:
        return (x - bent().denoise(x / (1 - t), t / (1 - t), text.conditions[0])) / t

    times = [s / (1 + s) for s in given.sigmas]
    state = given.z0
    for i, (t, following) in enumerate(pairwise(times)):
        source = (1 - t) * given.z0 + t * given.noise(i)
        difference = velocity(state + source - given.z0, t, TARGET) - velocity(source, t, SOURCE)
        state = state + (following - t) * difference
    assert relative(FlowEdit().edit(given), state) < 1e-10


def test_sdedit_is_sampling_from_the_noised_source() -> None:
    given = GIVEN
    x = math.sqrt(abar(given.sigmas[0])) * (given.z0 + given.sigmas[0] * given.noise(0))
    for i, (a, b) in enumerate(pairwise(given.sigmas)):
        mean, scale = mu(x, a, b, TARGET, 1.0)
        x = mean + (scale * given.noise(i + 1) if b else 0.0)
    assert relative(SDEdit().edit(given), x) < 1e-10


# -- what the method claims ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("editor", [DDPMInversion(), DDPMInversion(order=2), CycleDiffusion(), FlowEdit()])
def test_null_edit_changes_nothing(editor: Any) -> None:
    given = dataclasses.replace(GIVEN, targets=(SOURCE,))
    assert torch.equal(editor.edit(given), given.z0)
    batched = dataclasses.replace(given, denoise=dataclasses.replace(given.denoise, batch=7))
    assert relative(editor.edit(batched), given.z0) < 1e-12


def test_only_the_levels_of_the_edit_are_inverted_and_many_at_once() -> None:
    given = dataclasses.replace(GIVEN, denoise=Denoiser(GIVEN.denoise.backbone, costs := Costs(), batch=5))
    DDPMInversion().edit(given)
    assert costs.network_forward == 2 * 10
    # The toy has no call for many levels at once: what is equal of a batch goes together.
    assert costs.network_calls == 2 * 10
    paper = 4 * 100  # T = 200, T_start = 100: source and target, each with and without its text
    guided = dataclasses.replace(
        given, source=Text(SOURCE.conditions, torch.zeros(DIM).double(), 3.0), sigmas=levels(text_prior(), 3.0, 100),
        targets=(Text(TARGET.conditions, torch.zeros(DIM).double(), 12.0),),
        denoise=Denoiser(text_prior(), costs := Costs()),
    )  # fmt: skip
    DDPMInversion().edit(guided)
    assert costs.network_forward == paper


def test_noise_maps_are_larger_than_native_and_negatively_correlated() -> None:
    """arXiv:2304.06140, section 5 and figure 6."""
    given = task((TARGET,), Text(), steps=60, seed=3)

    def statistics(path: Tensor) -> tuple[float, float]:
        maps = inversion.invert(given, path).noise().flatten(1)
        return float(maps.var()), float((maps[1:] * maps[:-1]).mean() / maps.var())

    variance, correlation = statistics(inversion.independent_path(given))
    native_variance, native_correlation = statistics(inversion.posterior_path(given))
    assert variance > 5
    assert 0.8 < native_variance < 1.3
    assert correlation < -0.4
    assert abs(native_correlation) < 0.1


def test_t_start_becomes_a_level() -> None:
    import numpy as np

    class Trained:
        class noise:  # noqa: N801
            grid = np.sqrt(1 / np.cumprod(1 - np.linspace(0.0015**0.5, 0.0195**0.5, 1000) ** 2) - 1)

    # AudioLDM2's schedule: T_start 100 of 200 is timestep 496.
    assert strength(Trained(), 100) == pytest.approx(2.73, abs=0.005)
    assert strength(Trained(), 1) == pytest.approx(Trained.noise.grid[1])


class Pulses(TextPrior):
    """A mixture: one bump at one of all places, some likelier than others; its denoiser is exact."""

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        place, narrow = torch.arange(DIM).double(), 0.01
        bumps = 3 * torch.exp(-((place[:, None] - place) ** 2) / 8)
        likely = torch.randn(DIM, generator=generator(7)).double()
        distance = (z[:, 0, None] - bumps).square().sum(-1) / (2 * (sigma**2 + narrow))
        mean = torch.softmax(likely - distance, -1) @ bumps
        return (mean + narrow / (sigma**2 + narrow) * (z[:, 0] - mean))[:, None]


def test_shift_of_the_code_shifts_the_music() -> None:
    """arXiv:2304.06140, section 5 and figure 7: an edit-friendly code bears it, native noise does not."""
    prior = Pulses(torch.zeros(DIM).double(), torch.eye(DIM).double())
    frames, ours, native = 4, [], []
    for seed in range(12):
        given = task((Text(),), Text(), prior=prior, steps=20, seed=seed, strength=80.0)
        sampled = SDEdit().edit(given)
        wanted = inversion.shifted(sampled, frames, 2)
        source = dataclasses.replace(given, z0=sampled)
        ours.append(relative(DDPMInversion(shift=frames / given.frame_rate).edit(source), wanted))

        def moved(number: int, given: Edit = given) -> Tensor:
            return inversion.shifted(given.noise(number), frames, 2)

        again = dataclasses.replace(given, z0=inversion.shifted(given.z0, frames, 2), noise=moved)
        native.append(relative(SDEdit().edit(again), wanted))
    # A bump in the wrong place is off by more than its size.
    arrived = [sum(error < 0.5 for error in errors) for errors in (ours, native)]
    assert arrived[0] >= 9, ours
    assert arrived[1] <= 6, native


def test_shift_fills_the_border_from_beside_it() -> None:
    x = torch.arange(6.0)
    assert inversion.shifted(x, 2, 0).tolist() == [2, 3, 0, 1, 2, 3]
    assert inversion.shifted(x, -2, 0).tolist() == [2, 3, 4, 5, 2, 3]


def test_waiting_regions_start_at_their_own_level() -> None:
    from diffmusic.editor.contract import Region

    left, right = torch.zeros(DIM), torch.zeros(DIM)
    left[:8], right[24:] = 1, 1
    given = dataclasses.replace(GIVEN, regions=(Region(left, GIVEN.sigmas[0]), Region(right, 0.05)))
    z = (DDPMInversion().edit(given) - given.z0)[0, 0].abs()
    assert z[8:24].max() < 1e-12
    assert z[:8].mean() > 2 * z[24:].mean() > 0


class White(TextPrior):
    """``z_0 ~ N(0, I)``, as long as one likes."""

    def denoise(self, z: Tensor, sigma: float, condition: Any = None) -> Tensor:
        return z / (1 + sigma**2)


def test_a_stroke_raises_its_region_and_little_else() -> None:
    rate, time = 8000, torch.arange(8000).double() / 8000
    audio = (torch.sin(2 * math.pi * 440 * time) + 0.5 * torch.sin(2 * math.pi * 2000 * time))[None, None]
    white = White(torch.zeros(1), torch.eye(1))
    given = dataclasses.replace(
        task((Text(),), Text(), steps=20), z0=audio, audio=audio, sample_rate=rate, encode=lambda x: x,
        denoise=Denoiser(white, Costs()),
        noise=lambda n: torch.randn(1, 1, 8000, generator=generator(5, n), dtype=torch.float64),
    )  # fmt: skip

    def decibels(x: Tensor, low: float, high: float, start: float, end: float) -> float:
        spectrum = torch.stft(x[0], 512, window=torch.hann_window(512).double(), return_complex=True).abs().square()[0]
        f, t = torch.arange(257) * rate / 512, torch.arange(spectrum.shape[1]) * 128 / rate
        return 10 * math.log10(float(spectrum[(f >= low) & (f < high)][:, (t >= start) & (t < end)].mean()))

    # Drawn where the 2 kHz tone is, in the middle of the second, 30 s into the recording.
    stroke = ((30.3, 30.7, 1800.0, 2200.0, 12.0),)
    later = dataclasses.replace(given, offset=30.0)
    z = DDPMInversion(stroke=stroke, amount=1.0).edit(later)
    inside = decibels(z, 1900, 2100, 0.4, 0.6) - decibels(audio, 1900, 2100, 0.4, 0.6)
    assert 2 < inside < 13
    assert abs(decibels(z, 400, 480, 0.4, 0.6) - decibels(audio, 400, 480, 0.4, 0.6)) < 0.5
    assert abs(decibels(z, 1900, 2100, 0.05, 0.2) - decibels(audio, 1900, 2100, 0.05, 0.2)) < 0.5
    assert torch.equal(DDPMInversion().edit(later), audio)
