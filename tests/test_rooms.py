"""Rooms that nobody measured: prediction of what is late, decay and ratios, and what finishing takes off."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

import diffmusic
from diffmusic.audio.stft import windows_of
from diffmusic.audio.wpe import _filtered, dereverberated
from diffmusic.errors import InputError
from diffmusic.metrics.lsd import lsd
from diffmusic.metrics.mel_l1 import mel_l1
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.least_squares import convolved
from diffmusic.problem.room import Room
from diffmusic_operators.reverb import FoundRoom, Reverb

RATE = 16000
TRUE = Room(0.6, (0.0,) * 6)


@pytest.fixture(scope="module")
def dry() -> Tensor:
    """Three seconds of bursts of noise with pauses, (1, time), float64: what cannot be predicted."""
    draw = np.random.default_rng(3)
    beats = np.exp(-np.arange(RATE // 3) / 400) * (np.arange(RATE // 3) < 2400)
    return torch.from_numpy(np.tile(beats, 9) * draw.standard_normal(9 * (RATE // 3)))[None]


@pytest.fixture(scope="module")
def wet(dry: Tensor) -> Tensor:
    """The same in a room of the model's kind, of other noise than the model's."""
    at = np.arange(round(0.8 * RATE)) / RATE
    tail = np.random.default_rng(9).standard_normal(len(at)) * 10 ** (-3 * at / TRUE.decay)
    tail[0] = 0
    tail /= np.linalg.norm(tail)
    tail[0] = 1
    return convolved(dry, torch.from_numpy(tail))


def test_prediction_finds_the_filter_that_made_the_frames() -> None:
    """Frames with a known past: ``Y[t] = D[t] + g Y[t - 3] + f Y[t - 5]``, in two channels that hear each other."""
    draw = torch.Generator().manual_seed(0)
    clean = torch.randn(2, 2, 4000, dtype=torch.complex128, generator=draw)
    y = clean.clone()
    cross = torch.tensor([[0.3 + 0.4j, 0.2], [-0.1j, 0.5]], dtype=torch.complex128)
    for t in range(5, 4000):
        y[:, :, t] += y[:, :, t - 3] @ cross.T + 0.2j * y[:, :, t - 5]
    found = _filtered(y, taps=4, delay=3, iterations=2, context=4)
    assert float((found - clean).norm() / clean.norm()) < 0.1
    early = _filtered(y, taps=4, delay=6, iterations=2, context=4)
    assert float((early - clean).norm() / clean.norm()) > 0.3, "what is early stays"


def test_what_has_no_past_is_left(dry: Tensor) -> None:
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3 * RATE)))
    for clean, most in ((noise, 0.5), (dry * 0, 1e-12)):
        found = dereverberated(clean, windows_of(0.064, RATE))
        assert found.shape == clean.shape
        assert float((found - clean).norm()) <= most * float(clean.norm()) + 1e-12


def test_late_power_is_the_sum_over_the_past() -> None:
    settings, room = windows_of(0.032, RATE), Room(0.4, (3.0, 3.0, 3.0, 3.0, 3.0, -6.0))
    power = torch.from_numpy(np.random.default_rng(0).random((12, settings.n_fft // 2 + 1)))
    kept = 10 ** (-6 * settings.hop / RATE / 0.4)
    weights = [(1 - kept) * kept ** (k - 1) for k in range(1, 8)]
    past = torch.stack([w * power[7 - k] for k, w in enumerate(weights, 1)]).sum(0)
    late = room.late(power, settings)[7]
    low, high = round(1000 / RATE * settings.n_fft), round(7000 / RATE * settings.n_fft)
    assert float(late[low]) == pytest.approx(10**-0.3 * float(past[low]))
    assert float(late[high]) == pytest.approx(10**0.6 * float(past[high]))


def test_taps_have_the_decay_and_the_ratios() -> None:
    taps = Room(0.5, (6.0, 6.0, 6.0, 6.0, -6.0, -6.0)).impulse(RATE)
    tail = taps.copy()
    tail[0] -= 1
    bins, hertz = np.abs(np.fft.rfft(tail)) ** 2, np.fft.rfftfreq(len(tail), 1 / RATE)
    assert bins[(hertz > 300) & (hertz < 1900)].mean() == pytest.approx(10**-0.6, rel=0.05)
    assert bins[hertz > 4100].mean() == pytest.approx(10**0.6, rel=0.05)
    halves = [np.square(tail[: RATE // 4]).sum(), np.square(tail[RATE // 4 : RATE // 2]).sum()]
    assert 10 * np.log10(halves[0] / halves[1]) == pytest.approx(30, abs=2)


def test_decay_and_ratios_are_found_with_the_truth(dry: Tensor, wet: Tensor) -> None:
    found = Room.fitted(dry, wet, RATE)
    assert found.decay == pytest.approx(TRUE.decay, rel=0.25)
    assert np.abs(found.ratios).max() < 2.5
    assert min(Room.fitted(dry, dry, RATE).ratios) > 15, "nothing was added"


def test_finishing_takes_off_what_the_room_added(dry: Tensor, wet: Tensor) -> None:
    found = TRUE.dry(wet, dry, RATE)
    assert mel_l1(dry.numpy(), found.numpy(), RATE) < 0.6 * mel_l1(dry.numpy(), wet.numpy(), RATE)
    none = Room(0.6, (200.0,) * 6).dry(wet, wet, RATE)
    assert torch.allclose(none, wet, atol=1e-9)


def test_above_the_band_of_the_estimate_the_recording_stands_for_it(dry: Tensor, wet: Tensor) -> None:
    bins = torch.fft.rfft(dry)
    bins[:, bins.shape[-1] // 2 :] = 0
    found = TRUE.dry(wet, torch.fft.irfft(bins, dry.shape[-1]), RATE)
    high = slice(round(0.6 * bins.shape[-1]), None)
    levels = [float(torch.fft.rfft(x)[:, high].abs().square().mean()) for x in (found, TRUE.dry(wet, wet, RATE))]
    assert levels[0] == pytest.approx(levels[1], rel=0.05)


def test_a_room_is_found_where_none_is_given(wet: Tensor) -> None:
    found, y = BoundOperator.of(Reverb(), wet.numpy(), RATE)
    assert isinstance(found.operator, FoundRoom)
    for known in (Reverb(decay=0.3),):
        assert BoundOperator.of(known, wet.numpy(), RATE)[0].operator == known
    a, b = (torch.from_numpy(np.random.default_rng(seed).standard_normal((1, 2, 3000))) for seed in (1, 2))
    left, right = (found.operator.forward(a) * b).sum(), (a * found.operator.adjoint(b)).sum()  # type: ignore[attr-defined]
    assert float(left) == pytest.approx(float(right), rel=1e-9)
    assert found.power(y).shape == (1, 1, 1)


def test_wpe_comes_nearer_and_finishing_nearer_still(dry: Tensor, wet: Tensor) -> None:
    raw = diffmusic.restore(wet.numpy(), RATE, "reverb", solver="wpe", finish=False).audio[0]
    made = diffmusic.restore(wet.numpy(), RATE, "reverb", solver="wpe").audio[0]
    far = [lsd(dry.numpy(), x, RATE) for x in (wet.numpy(), raw, made)]
    assert far[1] < far[0]
    assert far[2] < far[1]
    with pytest.raises(InputError, match="wpe needs a recording of a room"):
        diffmusic.restore(wet.numpy(), RATE, "inpainting gap=1:1.1", solver="wpe")


@pytest.mark.parametrize("given", [("--decay", 0.8), ("--direct", 3), ("--room", 1)])
def test_a_synthetic_room_is_no_recordings(
    song: Callable[..., Path], run: Callable[..., SimpleNamespace], tmp_path: Path, given: tuple[object, ...]
) -> None:
    for operator in ("reverb", "reverb decay=0.8 | noise"):
        flags = given if operator == "reverb" else ()
        done = run("solve", operator, song(), *flags, "-o", tmp_path / "out.wav")
        assert done.code == 2
        assert "a synthetic room is not that of a recording" in done.err
        assert "response" in done.err
        assert len(done.err.strip().splitlines()) == 1
        assert not (tmp_path / "out.wav").exists()
