"""Rectangles of the spectrogram: taken out, put back, and solved."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from diffmusic import problem
from diffmusic.audio.spectral_repair import Excerpt, excerpts, inside, repaired
from diffmusic.errors import InputError
from diffmusic.models.components import load_component
from diffmusic.problem import BoundOperator, Problem
from diffmusic_operators.inpainting import Inpainting
from diffmusic_solvers.interpolate import Interpolate
from diffmusic_solvers.repeat import Repeat
from tests.draws import normal
from tests.test_repeat import song as melody

RATE = 16000
RECTANGLES = [(8000, 16000, 1000.0, 4000.0), (20000, 22000, 300.0, 1200.0)]


def tones(*hertz: float, seconds: float = 2.0) -> Tensor:
    time = torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE
    return torch.stack([0.1 * torch.sin(2 * torch.pi * f * time) for f in hertz]).sum(0)[None, None]


def test_what_lies_inside_is_its_own_transpose_and_silent_elsewhere() -> None:
    x, y = normal(1, 2, 1, 30000), normal(2, 2, 1, 30000)
    taken = inside(x, RECTANGLES, RATE)
    assert float((inside(y, RECTANGLES, RATE) * x).sum()) == pytest.approx(float((y * taken).sum()), rel=1e-9)
    assert float(taken[..., :7000].abs().max()) == 0
    assert float(taken[..., 17000:19000].abs().max()) == 0


@pytest.mark.parametrize("length", [30000, 16000, 9000])
def test_excerpts_are_transformed_back_exactly_ends_included(length: int) -> None:
    x = normal(1, 1, length)
    for part in excerpts([(0, 500, 0.0, 8000.0), (8000, 9000, 100.0, 200.0)], length, RATE):
        own = x[..., part.start : part.stop]
        torch.testing.assert_close(part.audio(part.bins(own)), own)


def test_a_tone_inside_is_lost_and_those_beside_it_are_kept() -> None:
    middle = slice(12000, 20000)
    operator = Inpainting(region=((0.5, 1.5, 1000.0, 4000.0),))
    for hertz, left in ((2000.0, 0.001), (500.0, 0.999), (6000.0, 0.999)):
        x = tones(hertz)
        kept = float(operator.forward(x)[..., middle].norm() / x[..., middle].norm())
        assert kept == pytest.approx(left, abs=0.01)


def test_gaps_and_rectangles_together_are_linear_symmetric_and_hide_what_is_lost() -> None:
    operator = Inpainting(region=((0.5, 1.0, 1000.0, 4000.0),), gap=((1.0, 1.1), (1.5, 1.6)))
    x, y = normal(1, 1, 1, 32000), normal(2, 1, 1, 32000)
    products = [float((operator.forward(a) * b).sum()) for a, b in ((x, y), (y, x))]
    assert products[0] == pytest.approx(products[1], rel=1e-9)
    torch.testing.assert_close(operator.forward(x + 2 * y), operator.forward(x) + 2 * operator.forward(y))
    other = x.clone()
    other[..., 16000:17600] = 7
    torch.testing.assert_close(operator.forward(other), operator.forward(x), atol=1e-12, rtol=0)
    assert operator.damage(32000) == [(16000, 17600), (24000, 25600)]
    assert problem.spans(operator, 32000) == [(8000, 17600), (24000, 25600)]


def test_samples_that_no_frame_of_the_rectangle_reaches_are_kept_bit_for_bit() -> None:
    operator = Inpainting(region=((0.8, 1.0, 1000.0, 4000.0),))
    x = normal(1, 1, 2, 32000)
    y = operator.measurement(x)
    out = operator.finish(normal(2, 1, 2, 32000), y)
    for part in (slice(0, 12200), slice(16600, None)):
        assert torch.equal(out[..., part], x[..., part])


def test_finishing_with_the_truth_gives_its_magnitudes_and_keeps_the_bins_outside() -> None:
    operator = Inpainting(region=((0.8, 1.2, 1000.0, 4000.0),))
    x = tones(300.0, 1500.0, 2500.0, 6000.0) + 0.01 * normal(1, 1, 1, 32000)
    out = operator.finish(x, operator.measurement(x))
    (part,) = excerpts(operator.regions(32000), 32000, RATE)
    made, true = (part.bins(each[..., part.start : part.stop]) for each in (out, x))
    assert float((made - true)[..., ~part.mask].norm() / true[..., ~part.mask].norm()) < 0.05
    assert float((made.abs() - true.abs())[..., part.mask].norm() / true[..., part.mask].norm()) < 0.15
    # Phases are those of the surroundings, not any: the waveform itself comes back.
    assert float((out - x).norm() / x.norm()) < 0.15


def test_repair_reaches_the_magnitudes_from_any_phases() -> None:
    x = tones(300.0, 1500.0, 6000.0)
    rectangles = [(12000, 15000, 1000.0, 4000.0)]
    y = x - inside(x, rectangles, RATE)

    def fill(part: Excerpt, given: Tensor) -> tuple[Tensor, Tensor]:
        true = part.bins(x[..., part.start : part.stop])
        return true.abs(), normal(3, *true.shape)

    (part,) = excerpts(rectangles, x.shape[-1], RATE)
    true = part.bins(x[..., part.start : part.stop]).abs()[..., part.mask]

    def missed(iterations: int) -> float:
        made = repaired(y, rectangles, RATE, fill, iterations)[..., part.start : part.stop]
        return float((part.bins(made).abs()[..., part.mask] - true).norm() / true.norm())

    assert missed(64) < 0.5 * missed(0)
    assert missed(64) < 0.3


@pytest.mark.parametrize(("along", "better"), [("time", True), ("frequency", False)])
def test_interpolation_bridges_steady_tones_along_time_alone(along: str, better: bool) -> None:
    x = tones(300.0, 1500.0, 2500.0, 6000.0) + 0.001 * normal(1, 1, 1, 32000)
    operator = Inpainting(region=((0.8, 1.2, 1000.0, 4000.0),))
    made = Interpolate(along=along).estimate(Problem(operator, operator.forward(x)))  # type: ignore[arg-type]
    level = float(made[..., 14000:18000].norm() / x[..., 14000:18000].norm())
    assert (abs(level - 1) < 0.15) is better


def test_regions_are_read_in_hz_and_k_and_bad_ones_are_refused() -> None:
    read = load_component("operator", "inpainting", {"region": ["2:3@1k:4k", "0.5:1@300:1.2kHz"]})
    assert read.region == ((2.0, 3.0, 1000.0, 4000.0), (0.5, 1.0, 300.0, 1200.0))
    for text in ("2:3", "2:3@4k:1k", "3:2@1k:4k", "2:3@a:b", "-1:3@1k:4k"):
        with pytest.raises(InputError, match="region"):
            load_component("operator", "inpainting", {"region": [text]})


@pytest.mark.parametrize("region", [(1.0, 3.0, 100.0, 200.0), (0.5, 1.0, 9000.0, 10000.0)])
def test_regions_outside_the_recording_are_refused(region: tuple[float, float, float, float]) -> None:
    with pytest.raises(InputError, match="lies"):
        BoundOperator.of(Inpainting(region=(region,)), np.zeros((1, 32000)), RATE)[0].validate(32000)


def test_a_region_is_solved_on_the_command_line(
    song: Callable[..., Path], tiny: Path, tmp_path: Path, run: Callable[..., SimpleNamespace]
) -> None:
    source, out = song(seconds=1.5, rate=44100, channels=2, subtype="FLOAT"), tmp_path / "out.wav"
    words = ["solve", "inpainting", source, "--region", "0.6:0.9@300:2k", "--model", tiny, "--steps", 2]
    assert run(*words, "-o", out).code == 0
    made, true = soundfile.read(out)[0], soundfile.read(source)[0]
    assert np.array_equal(made[:20000], true[:20000])
    assert not np.array_equal(made[30000:35000], true[30000:35000])
    record = json.loads((tmp_path / "out.wav.json").read_text())
    assert record["job"]["solver"] == "mmps"
    assert record["costs"]["decoder_forward"] == 2  # mid and side


def test_repeat_copies_a_rectangle_from_where_the_song_says_it_again() -> None:
    clean = torch.from_numpy(melody(rate=RATE))[None]
    bar = 2 * RATE + 37
    start = 2 * bar + 1234
    region = (start / RATE, start / RATE + 1.0, 400.0, 2000.0)
    operator = Inpainting(region=(region,), sample_rate=RATE)
    y = operator.forward(clean)
    filled, (note,) = Repeat(sample_rate=RATE).explained(Problem(operator, y))
    assert round((note["gap"][0] - note["source"][0]) * RATE) % bar == 0
    error, lost = (operator.finish(filled, y) - clean).square().mean(), (y - clean).square().mean()
    # Not all of it: half a window on either side of the rectangle was not heard whole, and belongs to the seams.
    assert error < 0.08 * lost
