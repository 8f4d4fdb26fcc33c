import math

import numpy as np
import pytest
import soundfile
import torch
from diffmusic_telephone import Telephone

from diffmusic.cli import main
from diffmusic.parameters import bind
from diffmusic.testing import parametrize_with_checks


def tone(hertz, rate=16000):
    return torch.sin(2 * math.pi * hertz * torch.arange(rate, dtype=torch.float64) / rate)[None, None]


@parametrize_with_checks([Telephone()])
def test_it_keeps_its_contract(component, check):
    check(component)


def test_the_band_passes_and_nothing_else():
    for rate in (16000, 44100):
        operator = bind(Telephone(), sample_rate=rate)
        torch.testing.assert_close(operator.forward(tone(1000, rate)), tone(1000, rate))
        assert operator.forward(tone(200, rate) + tone(5000, rate)).abs().max() < 1e-6


def test_it_is_solved(tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(8000)
    soundfile.write(tmp_path / "call.wav", noise, 16000, subtype="FLOAT")
    words = ["solve", "telephone", str(tmp_path / "call.wav"), "--solver", "wiener", "-o", str(tmp_path / "out.wav")]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert not stop.value.code
    restored = torch.from_numpy(soundfile.read(tmp_path / "out.wav")[0])
    expected = Telephone().forward(torch.from_numpy(noise))
    assert (restored - expected).norm() < 0.05 * expected.norm()
