"""The operator ``lowpass``: its response, and what finishing puts back."""

import torch

from diffmusic_operators.lowpass import Lowpass
from tests.draws import normal

NOISE = 0.1 * normal(0, 1, 1, 32000)


def test_it_falls_by_its_slope_above_its_cutoff() -> None:
    spectrum = (torch.fft.rfft(Lowpass(1000.0, 24.0).forward(NOISE)) / torch.fft.rfft(NOISE)).abs()[0, 0]
    levels = 20 * spectrum[[2 * 500, 2 * 1000, 2 * 2000, 2 * 4000]].log10()
    torch.testing.assert_close(levels, torch.tensor([0.0, 0.0, -24.0, -48.0]).double(), atol=1e-6, rtol=0)


def test_finishing_keeps_what_was_let_through_and_leaves_the_rest_to_the_estimate() -> None:
    operator = Lowpass(2000.0, 48.0)
    out = torch.fft.rfft(operator.finish(-NOISE, operator.forward(NOISE)))
    truth, low, high = torch.fft.rfft(NOISE), slice(0, 2 * 2000), slice(2 * 6000, None)
    assert (out - truth)[..., low].abs().square().sum() < 1e-4 * truth[..., low].abs().square().sum()
    assert (out + truth)[..., high].abs().square().sum() < 1e-2 * truth[..., high].abs().square().sum()
