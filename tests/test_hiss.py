"""Operator noise and its classical solver: hiss and hum go, music stays."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from diffmusic.audio.hum import without_hum
from diffmusic.errors import InputError
from diffmusic.metrics.si_sdr import si_sdr
from diffmusic.tasks.api import restore
from tests.test_told_noise import coloured, music

RATE = 16000


def hissing(scale: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Music after a second of silence, and the same with coloured noise, (1, time)."""
    clean = np.concatenate([np.zeros((1, RATE)), music(RATE)], axis=1)
    return clean, clean + scale * coloured(clean.shape[-1], RATE)


@pytest.mark.parametrize(("method", "left"), [("wiener", 0.05), ("subtraction", 0.5)])
def test_hiss_that_is_told_of_goes(method: str, left: float) -> None:
    clean, noisy = hissing()
    made = restore(noisy, RATE, "noise", solver=f"spectral-subtraction method={method}", noise_from="0:1").audio[0]
    assert si_sdr(clean, made, RATE) > si_sdr(clean, noisy, RATE) + 2
    assert np.square(made[:, :RATE]).mean() < left * np.square(noisy[:, :RATE]).mean()


def test_hiss_that_is_not_told_of_is_estimated() -> None:
    clean, noisy = hissing()
    made = restore(noisy, RATE, "noise", solver="spectral-subtraction").audio[0]
    assert si_sdr(clean, made, RATE) > si_sdr(clean, noisy, RATE) + 2


def test_each_channel_has_its_own_noise() -> None:
    clean, noisy = hissing()
    both = np.concatenate([noisy, clean])
    made = restore(both, RATE, "noise", solver="spectral-subtraction", noise_from="0:1").audio[0]
    assert si_sdr(clean, made[:1], RATE) > si_sdr(clean, noisy, RATE) + 3
    np.testing.assert_allclose(made[1:], clean, atol=1e-6)


@pytest.mark.parametrize("mains", [50.0, 60.0])
def test_hum_goes_and_music_stays(mains: float) -> None:
    clean = np.tile(music(RATE), 3)
    time = np.arange(clean.shape[-1]) / RATE
    hum = sum(0.05 / k * np.sin(2 * np.pi * 1.002 * mains * k * time + k) for k in (1, 2, 3, 5, 7))
    made = without_hum(clean + hum, RATE, mains)
    assert np.square(made - clean).mean() < 0.2 * np.square(hum).mean()
    assert np.square(without_hum(clean, RATE, mains) - clean).mean() < 0.01 * np.square(clean).mean()


def test_spectral_subtraction_refuses_what_is_more_than_noise() -> None:
    with pytest.raises(InputError, match="nothing but noise"):
        restore(music(RATE), RATE, "reverb", solver="spectral-subtraction", noise_std=0.01)


def test_on_the_command_line(tmp_path: Path, run: Callable[..., SimpleNamespace]) -> None:
    clean, noisy = hissing()
    given, made = tmp_path / "hiss.wav", tmp_path / "quiet.wav"
    soundfile.write(given, noisy.T, RATE)
    words = ("solve", "noise", given, "--solver", "spectral-subtraction", "-s", "hum=50", "-o", made)
    assert run(*words, "--noise-from", "0:0.8").code == 0
    assert si_sdr(clean, soundfile.read(made, always_2d=True)[0].T, RATE) > si_sdr(clean, noisy, RATE)
    made.unlink()
    refused = run(*words, "--noise-from", "0:99")
    assert refused.code == 2
    assert "--noise-from 0:99 is no stretch of the recording" in refused.err
    assert not made.exists()
