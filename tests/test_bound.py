"""An operator bound to a recording: its optional parts have an answer, and what it finds in its measurement is used."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from diffmusic.audio.stft import STFT
from diffmusic.errors import InputError
from diffmusic.jobs.restore import Prepared, RestoreJob
from diffmusic.models.load import SAFE
from diffmusic.problem import BoundOperator, HasDamage
from diffmusic_operators.inpainting import Inpainting
from diffmusic_operators.mixing import Mixing
from diffmusic_operators.resampling import Resampling
from diffmusic_operators.stft_magnitude import StftMagnitude
from diffmusic_solvers.interpolate import Interpolate


@dataclass(frozen=True)
class Dropouts:
    """``y = m x`` with a dropout of fixed place; where it is, an unfitted operator does not know."""

    found: tuple[tuple[int, int], ...] = ()
    sample_rate: int = 16000
    offset: float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        y[..., 4000:4800] = 0
        return y

    def fitted(self, measurement: Tensor) -> "Dropouts":
        silent = np.flatnonzero(measurement[0].abs().sum(0).numpy() == 0)
        return dataclasses.replace(self, found=((int(silent[0]), int(silent[-1]) + 1),))

    def damage(self, samples: int) -> list[tuple[int, int]]:
        return [span for span in self.found if span[0] < samples]


def test_damage_that_is_found_in_the_measurement_is_marked_and_measured(song: Callable[..., Path]) -> None:
    job = RestoreJob(operator="dropouts", solver="interpolate", simulate=True)
    outcome = Prepared(job, Dropouts(), Interpolate(), SAFE).run([song(seconds=1.0)])
    assert outcome.lost == [(4000, 4800)]
    (scores,) = outcome.document["metrics"]
    assert scores["lsd"]["restored_in_damage"] < scores["lsd"]["damaged_in_damage"]


def test_what_an_operator_leaves_out_has_an_answer() -> None:
    class Half:
        def forward(self, x: Tensor) -> Tensor:
            return x / 2

    bound, y = BoundOperator.of(Half(), np.ones((2, 100)), 8000)
    assert (bound.rate, bound.measured_rate, bound.sources, bound.length(y)) == (8000, 8000, 1, 100)
    assert (bound.linear, bound.has_damage, bound.has_own_rate, bound.spectrogram) == (False, False, False, None)
    assert bound.damage(100) == [(0, 100)]
    assert torch.equal(bound.finish(y, y), y)
    assert torch.equal(bound.items(y), y)
    assert float(bound.power(y)) == 1.0
    bound.validate(100)


def test_rates_are_bound_once_and_stay_right_at_another_rate() -> None:
    bound, y = BoundOperator.of(Resampling(factor=3), np.zeros((1, 800)), 8000)
    assert (bound.rate, bound.measured_rate, bound.length(y)) == (24000, 8000, 2400)
    there = bound.at(16000, 1.0)
    assert (there.rate, there.measured_rate, there.has_own_rate, there.length(y)) == (16000, 8000, True, 1600)

    gap, _ = BoundOperator.of(Inpainting(gap=((0.5, 0.6),)), np.ones((1, 44100)), 44100)
    assert gap.damage(44100) == [(22050, 26460)]
    assert gap.at(16000, 0.25).damage(16000) == [(4000, 5600)]
    assert gap.at(16000, 0.25).measured_rate == 16000

    magnitudes, y = BoundOperator.of(StftMagnitude(n_fft=512, hop=128), np.ones((1, 9, 257)), 16000)
    assert magnitudes.spectrogram == STFT(512, 128, 16000)
    assert magnitudes.length(y) == 1024


def test_the_power_of_what_was_observed_leaves_the_gap_out() -> None:
    audio = np.full((1, 1000), 0.5)
    bound, y = BoundOperator.of(Inpainting(gap=((0.0, 0.05),)), audio, 10000)
    assert float(bound.power(y)) == pytest.approx(0.25)


def test_a_gap_is_lost_in_every_channel_of_an_item() -> None:
    bound = BoundOperator.unfitted(Inpainting(gap=((0.25, 0.75),)), 16000)
    y = torch.full((3, 2, 16000), 0.5, dtype=torch.float64)
    y[..., 4000:12000] = 0
    torch.testing.assert_close(bound.power(y), torch.full((3, 1, 1), 0.25, dtype=torch.float64))


def test_channels_of_a_mixture_are_mixtures_of_their_own() -> None:
    bound, y = BoundOperator.of(Mixing(), np.ones((2, 100)), 16000)
    assert bound.sources == 2
    assert bound.items(y).shape == (2, 1, 100)


def test_an_operator_that_damages_nothing_is_refused() -> None:
    bound, _ = BoundOperator.of(Dropouts(found=()), np.pad(np.ones((1, 10)), ((0, 0), (0, 5))), 16000)
    assert isinstance(bound.operator, HasDamage)
    with pytest.raises(InputError, match="nothing is damaged"):
        bound.validate(10)
