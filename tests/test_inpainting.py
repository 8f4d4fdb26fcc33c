"""Inpainting: one mask at every rate and in every excerpt, and a finish that gives back what was observed."""

import warnings
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.parameters import bind, build
from diffmusic_operators.inpainting import Inpainting

RATES = (8000, 11025, 16000, 22050, 44100, 48000, 96000)
MASKS = {
    "gaps": Inpainting(gap=((0.1, 0.25), (0.7, 0.75), (1.3333, 1.5))),
    "periodic": Inpainting(mask="periodic", period=0.21, fraction=0.3),
    "random": Inpainting(mask="random", period=0.13, fraction=0.4, mask_seed=5),
}


def mask(operator: Inpainting, samples: int) -> np.ndarray:
    """The mask that the operator applies: 1 where it lets a sample through."""
    return operator.forward(torch.ones(1, 1, samples))[0, 0].numpy()


def sine(seconds: float, rate: int = 16000, hertz: float = 500.0, dtype: torch.dtype = torch.float64) -> Tensor:
    return (0.5 * torch.sin(2 * torch.pi * hertz * torch.arange(round(seconds * rate)).double() / rate)).to(dtype)[
        None, None
    ]


# The mask.


@pytest.mark.parametrize("rate", RATES)
def test_a_gap_is_the_samples_between_its_times(rate: int) -> None:
    operator = bind(Inpainting(gap=((1.0, 1.2), (0.4, 0.8))), sample_rate=rate)
    expected = np.ones(2 * rate)
    expected[2 * rate // 5 : 4 * rate // 5] = 0
    expected[rate : 6 * rate // 5] = 0
    np.testing.assert_array_equal(mask(operator, 2 * rate), expected)
    assert operator.damage(2 * rate) == [(2 * rate // 5, 4 * rate // 5), (rate, 6 * rate // 5)]


def test_a_periodic_mask_loses_the_end_of_every_period() -> None:
    operator = Inpainting(mask="periodic", period=0.1, fraction=0.2, sample_rate=1000)
    assert operator.damage(350) == [(80, 100), (180, 200), (280, 300)]
    assert operator.damage(290) == [(80, 100), (180, 200), (280, 290)]


def test_a_random_mask_loses_one_stretch_in_every_period_anywhere_in_it() -> None:
    operator = Inpainting(mask="random", period=0.1, fraction=0.25, mask_seed=3, sample_rate=16000)
    periods = 1 - mask(operator, 200 * 1600).reshape(200, 1600)
    assert (np.abs(periods.sum(axis=1) - 400) <= 1).all()
    edges = np.abs(np.diff(periods, axis=1)).sum(axis=1)
    assert (edges <= 2).all()  # one stretch, not several
    starts = periods.argmax(axis=1)
    assert starts.min() < 60
    assert starts.max() > 1140
    assert abs(starts.mean() - 600) < 100


@pytest.mark.parametrize("kind", ["periodic", "random"])
@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.9])
def test_the_fraction_asked_for_is_lost(kind: Literal["periodic", "random"], fraction: float) -> None:
    operator = Inpainting(mask=kind, period=0.05, fraction=fraction, sample_rate=44100)
    assert 1 - mask(operator, 44100 * 10).mean() == pytest.approx(fraction, abs=1e-3)


def test_a_random_mask_is_a_function_of_its_seed() -> None:
    operator = Inpainting(mask="random", period=0.1, fraction=0.2)
    first = [replace(operator, mask_seed=seed).damage(32000) for seed in range(5)]
    again = [replace(operator, mask_seed=seed).damage(32000) for seed in range(5)]
    assert first == again
    assert len({tuple(damage) for damage in first}) == 5


@pytest.mark.parametrize("name", MASKS)
def test_the_mask_is_the_same_stretch_of_time_at_every_rate(name: str) -> None:
    reference = np.array(bind(MASKS[name], sample_rate=1_000_000).damage(2_000_000)) / 1_000_000
    assert len(reference) >= 3
    for rate in RATES:
        lost = np.array(bind(MASKS[name], sample_rate=rate).damage(2 * rate)) / rate
        np.testing.assert_allclose(lost, reference, atol=0.5 / rate + 1e-6)


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("rate", [16000, 44100])
def test_an_excerpt_sees_the_mask_of_the_whole_recording(name: str, rate: int) -> None:
    operator = bind(MASKS[name], sample_rate=rate)
    whole = mask(operator, 2 * rate)
    rng = np.random.default_rng(0)
    for _ in range(60):
        start, stop = sorted(rng.integers(0, 2 * rate, 2))
        excerpt = mask(bind(operator, offset=start / rate), stop - start)
        np.testing.assert_array_equal(excerpt, whole[start:stop])


def test_an_edge_that_falls_between_two_samples_is_rounded_alike_in_every_excerpt() -> None:
    # 5 ms are 220.5 samples and 15 ms are 661.5: rounding to the even number would depend on the excerpt.
    operator = Inpainting(gap=((0.005, 0.015), (1.005, 1.015)), sample_rate=44100)
    whole = mask(operator, 50000)
    for start in (0, 1, 2, 7, 100, 219, 220, 221, 222, 500, 40000, 40001):
        np.testing.assert_array_equal(mask(bind(operator, offset=start / 44100), 50000 - start), whole[start:])


@pytest.mark.parametrize("name", MASKS)
def test_the_adjoint_is_the_transpose(name: str) -> None:
    operator = MASKS[name]
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 3, 2, 30000, generator=draw, dtype=torch.float64)
    left, right = (operator.forward(x) * y).sum(), (x * operator.adjoint(y)).sum()
    assert abs(float(left - right)) < 1e-12 * float(x.norm() * y.norm())
    assert 0 < float((operator.forward(x) != x).double().mean()) < 1


def test_forward_keeps_dtype_and_shape_and_changes_nothing_outside() -> None:
    x = torch.randn(2, 2, 32000, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    y = MASKS["gaps"].forward(x)
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    assert torch.equal(x, before)
    kept = mask(MASKS["gaps"], 32000) == 1
    assert torch.equal(y[..., kept], x[..., kept])
    assert not y[..., ~kept].any()


# What does not fit.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gap": ["1:3"]}, "outside the recording, which lasts 2.000 s"),
        ({"gap": ["5:6"]}, "outside the recording"),
        ({"gap": ["1:2.001"]}, "outside the recording"),
        ({}, "which stretch is lost"),
        ({"gap": ["0:2"]}, "nothing is left"),
        ({"gap": ["0:1", "0.5:2"]}, "nothing is left"),
        ({"gap": ["0:1"], "mask": "periodic"}, "exclude each other"),
        ({"gap": ["0:1"], "mask": "random"}, "exclude each other"),
        ({"mask": "random", "period": 1000.0, "fraction": 1 - 1e-8}, "nothing is left"),
    ],
)
def test_what_does_not_fit_a_recording_of_two_seconds_is_refused(given: dict[str, Any], message: str) -> None:
    operator = build(Inpainting, given, "operator 'inpainting'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputError, match=message) as caught:
            operator.validate(2.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gap": ["2:1"]}, "ends before it starts"),
        ({"gap": ["1:1"]}, "ends before it starts"),
        ({"gap": ["-1:1"]}, "starts before the recording"),
        ({"gap": ["nan:1"]}, "not a stretch of time"),
        ({"gap": ["0:inf"]}, "not a stretch of time"),
        ({"gap": ["1;2"]}, "START:END"),
        ({"gap": ["one:two"]}, "START:END"),
        ({"mask": "comb"}, "mask"),
        ({"period": 1e-9}, "period: .*greater than or equal to 0.001"),
        ({"period": "inf"}, "period: .*finite"),
        ({"crossfade": "inf"}, "crossfade: .*finite"),
        ({"fraction": 1}, "fraction: .*less than 1"),
        ({"fraction": 0}, "fraction: .*greater than 0"),
        ({"crossfade": -0.1}, "crossfade: .*greater than or equal to 0"),
        ({"mask_seed": -1}, "mask_seed: .*greater than or equal to 0"),
    ],
)
def test_impossible_parameters_are_refused_in_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build(Inpainting, given, "operator 'inpainting'")
    assert "\n" not in str(caught.value)


def test_overlapping_gaps_are_merged_with_a_warning() -> None:
    operator = Inpainting(gap=((0.5, 0.7), (0.6, 0.8), (1.0, 1.1)), sample_rate=1000)
    with pytest.warns(UserWarning, match=r"merged: 0\.5:0\.8, 1:1\.1"):
        operator.validate(2.0)
    assert operator.damage(2000) == [(500, 800), (1000, 1100)]


@pytest.mark.parametrize(
    "operator",
    [
        Inpainting(gap=((1.0, 1.1), (0.5, 0.6))),
        Inpainting(gap=((0.0, 0.5),)),
        Inpainting(gap=((1.5, 2.0),)),
        Inpainting(gap=((1.5, 2.00005),)),  # the end of the file, with rounded seconds
        Inpainting(mask="random"),
        Inpainting(mask="periodic", period=0.5),
    ],
)
def test_what_fits_is_accepted_without_a_warning(operator: Inpainting) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        operator.validate(2.0)
    assert all(0 <= start < stop <= 32000 for start, stop in operator.damage(32000))


# Finishing.


FINISHED = {
    "one gap": Inpainting(gap=((0.4, 0.5),)),
    "at the start": Inpainting(gap=((0.0, 0.1),)),
    "at the end": Inpainting(gap=((0.9, 1.0),)),
    "shorter than two crossfades": Inpainting(gap=((0.5, 0.515),)),
    "one sample": Inpainting(gap=((0.5, 0.50006),)),
    "5 ms apart": Inpainting(gap=((0.4, 0.45), (0.455, 0.5))),
    "all but 5 ms": Inpainting(gap=((0.0, 0.5), (0.505, 1.0))),
    "a random mask": Inpainting(mask="random", period=0.05, fraction=0.3),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", FINISHED)
def test_finish_gives_back_every_observed_sample_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    operator = FINISHED[name]
    draw = torch.Generator().manual_seed(1)
    recording = 0.3 * torch.randn(2, 2, 16000, generator=draw, dtype=dtype)
    garbage = 1e3 * torch.randn(2, 2, 16000, generator=draw, dtype=dtype)
    measured = operator.measurement(recording)
    arguments = garbage.clone(), measured.clone()
    finished = operator.finish(*arguments)
    kept = mask(operator, 16000) == 1
    assert kept.any()
    assert not kept.all()
    assert finished.dtype == dtype
    assert torch.equal(finished[..., kept], recording[..., kept])
    assert torch.isfinite(finished).all()
    assert torch.equal(arguments[0], garbage)
    assert torch.equal(arguments[1], measured)


@pytest.mark.parametrize("name", FINISHED)
def test_finish_makes_no_use_of_what_the_file_holds_inside_a_gap(name: str) -> None:
    operator = FINISHED[name]
    estimate, recording = sine(1.0, hertz=300), sine(1.0)
    beeped = torch.where(torch.from_numpy(mask(operator, 16000)) == 1, recording, 0.9)
    assert torch.equal(operator.finish(estimate, beeped), operator.finish(estimate, operator.forward(recording)))


@pytest.mark.parametrize("name", FINISHED)
def test_finish_keeps_a_perfect_estimate(name: str) -> None:
    truth = sine(1.0)
    finished = FINISHED[name].finish(truth, FINISHED[name].forward(truth))
    # Where only 5 ms were observed, their continuation is a guess; elsewhere it is the tone itself.
    assert float((finished - truth).abs().max()) < (0.5 if "5 ms" in name else 0.01)


@pytest.mark.parametrize("name", FINISHED)
def test_without_a_crossfade_the_estimate_goes_in_as_it_is(name: str) -> None:
    operator = replace(FINISHED[name], crossfade=0.0, equalise=False)
    estimate, recording = sine(1.0, hertz=300), sine(1.0)
    expected = torch.where(torch.from_numpy(mask(operator, 16000)) == 1, recording, estimate)
    assert torch.equal(operator.finish(estimate, operator.forward(recording)), expected)


def test_between_the_crossfades_the_estimate_is_kept_exactly() -> None:
    operator = Inpainting(gap=((0.4, 0.6),), crossfade=0.02, equalise=False)
    estimate, recording = sine(1.0, hertz=300), sine(1.0)
    finished = operator.finish(estimate, operator.forward(recording))
    assert torch.equal(finished[..., 6720:9280], estimate[..., 6720:9280])
    assert not torch.isclose(finished[..., 6410:6700], estimate[..., 6410:6700]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gap", [(0.4005, 0.5005), (0.2005, 0.215), (0.3005, 0.307)])
def test_the_edge_of_a_gap_does_not_click_even_if_the_estimate_is_in_antiphase(
    gap: tuple[float, float], dtype: torch.dtype
) -> None:
    # The tone is at its peak where the gap begins: a hard cut would jump by two amplitudes.
    operator = Inpainting(gap=(gap,))
    recording = sine(1.0, dtype=dtype)
    start, stop = operator.damage(16000)[0]
    assert float(recording[0, 0, start]) == pytest.approx(0.5)
    steepest = float(recording.diff(dim=-1).abs().max())

    def jump(crossfade: float) -> float:
        finished = replace(operator, crossfade=crossfade).finish(-recording, operator.forward(recording))
        return max(float((finished[..., edge] - finished[..., edge - 1]).abs()) for edge in (start, stop))

    assert jump(0.0) > 4 * steepest
    assert jump(0.02) < 1.05 * steepest


def test_in_a_gap_shorter_than_two_crossfades_the_middle_is_the_estimate() -> None:
    operator = Inpainting(gap=((0.5, 0.515),), crossfade=0.02, equalise=False)
    finished = operator.finish(-sine(1.0), operator.forward(sine(1.0)))
    torch.testing.assert_close(finished[..., 8117:8123], -sine(1.0)[..., 8117:8123], atol=0.01, rtol=0)


def test_at_the_edge_of_the_file_nothing_is_faded() -> None:
    estimate, recording = sine(1.0, hertz=300), sine(1.0)
    for gap, edge in (((0.0, 0.1), slice(0, 1280)), ((0.9, 1.0), slice(14720, 16000))):
        operator = Inpainting(gap=(gap,), crossfade=0.02, equalise=False)
        finished = operator.finish(estimate, operator.forward(recording))
        assert torch.equal(finished[..., edge], estimate[..., edge])


def test_each_channel_is_finished_from_its_own_sound() -> None:
    operator = FINISHED["one gap"]
    recording = torch.cat([sine(1.0), sine(1.0, hertz=700)], dim=1)
    estimate = torch.zeros_like(recording)
    both = operator.finish(estimate, operator.forward(recording))
    for channel in (0, 1):
        alone = operator.finish(estimate[:, [channel]], operator.forward(recording[:, [channel]]))
        assert torch.equal(both[:, [channel]], alone)
