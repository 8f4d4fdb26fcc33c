import numpy as np
import pytest
import soundfile
import torch

from diffmusic.audio.declip import consistent
from diffmusic.cli import main
from diffmusic.errors import InputError
from diffmusic.testing import parametrize_with_checks
from diffmusic_operators.clipping import Clipping
from diffmusic_solvers.declip import Declip

RATE = 16000


def music(channels=1):
    """Three decaying partials, (channels, time), with a peak of 0.8."""
    time = np.arange(RATE) / RATE
    partials = [np.sin(2 * np.pi * f * time + f) * np.exp(-time * f / 400) for f in (196.0, 392.0, 587.3)]
    total = np.sum(partials, axis=0)
    return np.repeat(0.8 * total[None] / np.abs(total).max(), channels, axis=0)


def sdr(clean, estimate):
    clean, estimate = torch.as_tensor(clean), torch.as_tensor(estimate)
    return float(10 * torch.log10(clean.square().sum() / (clean - estimate).square().sum()))


@parametrize_with_checks([Clipping(level=0.1, iterations=5), Declip(iterations=5)])
def test_both_keep_their_contracts(component, check):
    check(component)


def test_what_was_not_clipped_is_kept_and_the_rest_lies_beyond_the_level():
    x = torch.from_numpy(music())[None]
    operator = Clipping(level=0.3)
    y = operator.forward(x)
    finished = operator.finish(0.5 * x, y)
    above, below = operator.clipped(y)
    assert above.any()
    assert below.any()
    assert torch.equal(finished[~(above | below)], y[~(above | below)])
    assert (finished[above] >= 0.3).all()
    assert (finished[below] <= -0.3).all()


def test_finishing_wins_many_decibels_and_an_estimate_of_the_spectrum_more():
    x = torch.from_numpy(music())[None]
    operator = Clipping(level=0.25)
    y = operator.forward(x)
    above, below = operator.clipped(y)
    alone = consistent(y, above, below, RATE, 100)
    # The truth with every sign turned: no phase of it can help, only its spectrum.
    told = operator.finish(-x, y)  # at the small weight it has by default
    assert sdr(x, alone) > sdr(x, y) + 6
    assert sdr(x, told) > sdr(x, alone)


def test_the_level_is_the_peak_of_the_recording():
    y = torch.tensor([[[0.1, -0.4, 0.4, 0.2]]])
    assert Clipping().fitted(y).level == pytest.approx(0.4)
    assert Clipping(level=0.3).fitted(y).level == 0.3
    with pytest.raises(InputError, match="silent"):
        Clipping().fitted(torch.zeros(1, 1, 4))
    with pytest.raises(InputError, match="Give `level`"):
        Clipping().forward(y)


@pytest.mark.parametrize("words", [(), ("--solver", "diffmusic", "--steps", "2", "-s", "repeats=1")])
def test_a_clipped_file_is_solved(tmp_path, words):
    x = music(2)
    soundfile.write(tmp_path / "loud.wav", x.clip(-0.3, 0.3).T, RATE, subtype="PCM_24")
    with pytest.raises(SystemExit) as stop:
        main(["solve", "clipping", str(tmp_path / "loud.wav"), *words, "-o", str(tmp_path / "out.wav")])
    assert not stop.value.code
    given, restored = (soundfile.read(tmp_path / name)[0].T for name in ("loud.wav", "out.wav"))
    kept = abs(given) < 0.2999
    assert np.array_equal(restored[kept], given[kept])
    assert sdr(x, restored) > sdr(x, given) + 3
