import numpy as np
import pytest
import soundfile
import torch
from diffmusic_pink.pink import load

from diffmusic.cli import main
from diffmusic.testing import parametrize_with_checks


@parametrize_with_checks([load()])
def test_it_keeps_its_contract(component, check):
    check(component)


def test_its_denoiser_is_the_posterior_mean():
    """Against the mean of a Gaussian, with its covariance written out as a matrix."""
    backbone, samples, sigma = load(), 64, 0.7
    identity = torch.eye(samples, dtype=torch.float64)
    spectrum = backbone._spectrum(samples, identity)
    covariance = torch.fft.irfft(torch.fft.rfft(identity) * spectrum, n=samples)
    z = torch.randn(2, 1, samples, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = z @ torch.linalg.inv(covariance + sigma**2 * identity) @ covariance
    torch.testing.assert_close(backbone.denoise(z, sigma), expected)


def test_a_gap_is_solved_with_it(tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "song.wav", 0.1 * rng.standard_normal(16000), 16000, subtype="FLOAT")
    words = ["solve", "inpainting", "--solver",
             "diffmusic", tmp_path / "song.wav", "--gap", "0.4:0.5", "--model", "pink", "--steps", "5",
             "-s", "space=waveform", "-o", tmp_path / "out.wav"]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert not stop.value.code
    restored = soundfile.read(tmp_path / "out.wav")[0]
    assert 0.01 < np.sqrt(np.mean(restored[6400:8000] ** 2)) < 0.5
