"""Recordings longer than a prior's window: one latent, windows over it, and what they cost."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diffmusic.audio import mel
from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.models.load import load_model
from diffmusic.prior import Costs, Prior
from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.guidance import Text
from diffmusic.prior.windowed import Windowed
from diffmusic.solver.noise import generator
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings
from diffmusic.testing.oracle import GaussianPrior
from diffmusic_operators.reverb import Reverb
from diffmusic_solvers.diffmusic import DiffMusic


class White(GaussianPrior):
    """Each latent sample by itself, so that windows cannot matter: ``D = z / (1 + sigma^2)``."""

    def denoise(self, z: Tensor, sigma: float, condition: object = None) -> Tensor:
        return z / (1 + sigma**2)

    def latent_shape(self, samples: int) -> tuple[int, ...]:
        return (1, -(-samples // 40) * 40)


def white() -> White:
    return White(torch.zeros(1, dtype=torch.float64), torch.eye(1, dtype=torch.float64), 100, excerpt_seconds=4.0)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(1), dtype=torch.float64)


@pytest.mark.parametrize("samples", [401, 430, 700, 701, 1000, 12345])
def test_windows_lie_evenly_and_cover_everything_once(samples: int) -> None:
    long = Windowed.of(white())
    frames = long.latent_shape(samples)[1]
    starts = long.starts(frames)
    assert (starts[0], starts[-1] + long.frames) == (0, frames)
    assert all(0 < b - a <= 300 for a, b in pairwise(starts))
    z = torch.ones(1, 1, frames, dtype=torch.float64)
    torch.testing.assert_close(long.joined(long.pieces(z), z), z)
    torch.testing.assert_close(long.decode(z, samples), z[..., :samples])


def test_restoring_and_editing_have_the_same_windows() -> None:
    """The differentiable mode, window after window, and the mode in which windows share calls give the same."""
    long = Windowed.of(white())
    z, text = noise(2, 1, 1000), Text()
    with torch.no_grad():
        alone = Denoiser(long, first := Costs(), None)(z, 0.7, text)
        shared = Denoiser(long, second := Costs(), 4)(z, 0.7, text)
    torch.testing.assert_close(alone, shared, rtol=0, atol=0)
    assert first.network_forward == second.network_forward == 6


def test_windows_of_a_prior_without_context_are_the_prior() -> None:
    long = Windowed.of(white())
    assert (long.frames, long.hop, long.calls(400), long.calls(401), long.calls(1000)) == (400, 1, 1, 2, 3)
    z = noise(2, *long.latent_shape(1000))
    assert z.shape == (2, 1, 1000)
    torch.testing.assert_close(long.denoise(z, 0.7), z / 1.49)
    torch.testing.assert_close(long.decode(z, 950), z[..., :950])
    torch.testing.assert_close(long.encode(z), z)


def test_the_gradient_is_that_of_the_whole_and_every_window_is_counted() -> None:
    long, costs = Windowed.of(white()), Costs()
    prior = Prior(long, 1000, costs)
    z = noise(1, *long.latent_shape(1000)).requires_grad_()
    weight = noise(1, 1, 1000)
    (gradient,) = torch.autograd.grad((prior.decode(prior.denoise(z, 0.7)) * weight).sum(), z)
    torch.testing.assert_close(gradient, weight / 1.49)
    # Three windows, and each again for the backward pass.
    assert costs.as_dict() == {
        "network_forward": 6, "network_calls": 6, "network_backward": 3, "decoder_forward": 6, "decoder_backward": 3,
        "encoder_forward": 0,
        "encoder_backward": 0,
    }  # fmt: skip


def test_decoded_windows_cross_where_both_have_context() -> None:
    """A decoder that spoils 30 samples at both ends of what it is given, as convolutions do, leaves no seam."""

    class Spoiling(White):
        def decode(self, z: Tensor, samples: int) -> Tensor:
            out = z[..., :samples].clone()
            out[..., :30], out[..., -30:] = 0, 0
            return out

    prior = white()
    long = Windowed.of(Spoiling(prior.mean, prior.covariance, 100, excerpt_seconds=4.0))
    z = noise(1, 1, 1000)
    torch.testing.assert_close(long.decode(z, 1000)[..., 30:-30], z[..., 30:-30])


def test_a_musicldm_is_windowed_in_its_latent_frames(tiny: Path) -> None:
    backbone = replace(load_model(str(tiny)), excerpt_seconds=1.0)  # type: ignore[type-var]
    long = Windowed.of(backbone)
    samples = 40000
    z = torch.randn(1, *long.latent_shape(samples), generator=generator(0))
    with torch.no_grad():
        whole, audio = long.denoise(z, 1.0, long.embed(None)), long.decode(z, samples)
    assert whole.shape == z.shape
    assert audio.shape == (1, 1, samples)
    assert long.encode(audio).shape == z.shape
    # The first window's own part is the backbone's, to the bit.
    own = long.starts(z.shape[2])[1]
    with torch.no_grad():
        first = backbone.denoise(z[:, :, : long.frames], 1.0, backbone.embed(None))
    torch.testing.assert_close(whole[:, :, :own], first[:, :, :own])


@pytest.mark.parametrize("spec", [MelSpec(), MelSpec(44100, 2048, 512, high=22050)], ids=["16k", "44k"])
def test_the_log_mel_of_minutes_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch, spec: MelSpec) -> None:
    """Taken in pieces, value and gradient are the same, whatever is left for the last piece."""

    def taken(piece: int) -> tuple[Tensor, Tensor]:
        monkeypatch.setattr(mel, "_PIECE", piece)
        x = noise(2, 40 * spec.hop + 37).requires_grad_()
        value = LogMel(spec)(x)
        return value.detach(), torch.autograd.grad((value * noise(*value.shape)).sum(), x)[0]

    whole = taken(1000)
    for piece in (7, 13, 39):
        for ours, theirs in zip(taken(piece), whole, strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="free memory is handed back on Linux only")
def test_the_memory_of_a_long_decoding_does_not_grow_with_its_windows(tiny: Path) -> None:
    """Ten windows with their gradient, in a process of their own, against two: the graph of one is there at a time."""
    code = f"""
import sys, torch
from dataclasses import replace
from diffmusic.jobs import record
from diffmusic.models.load import load_model
from diffmusic.prior.windowed import Windowed
long = Windowed.of(replace(load_model({str(tiny)!r}), excerpt_seconds=4.0))
peaks = []
for windows in (2, 2, 10):
    samples = 48000 * windows
    assert long.calls(samples) == windows
    z = torch.randn(1, *long.latent_shape(samples)).requires_grad_()
    torch.autograd.grad(long.decode(z, samples).square().sum(), z)
    peaks.append(record.peak_memory())
print(peaks[2] - peaks[1])
"""
    grown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert int(grown) < 22e6, grown  # 10 MB; without trimming 31, without the recomputation 57


def test_a_whole_file_problem_longer_than_a_window_is_solved(tiny: Path) -> None:
    backbone = replace(load_model(str(tiny)), excerpt_seconds=1.0)  # type: ignore[type-var]
    measured = 0.1 * noise(1, 40000).numpy()
    result = restore(measured, 16000, Reverb(decay=0.1), DiffMusic(repeats=1), backbone, RestoreSettings(steps=2))
    assert result.audio.shape == (1, 1, 40000)
    calls = Windowed.of(backbone).calls(40000)
    assert calls > 2
    assert result.costs.network_forward == 2 * calls
    assert result.costs.decoder_backward == 2 * calls


def test_a_prior_whose_latent_does_not_grow_says_how_much_it_solves() -> None:
    class Fixed(White):
        def latent_shape(self, samples: int) -> tuple[int, ...]:
            return (1, 400)

    prior = white()
    with pytest.raises(Exception, match="at most 4 s at a time"):
        Windowed.of(Fixed(prior.mean, prior.covariance, 100, excerpt_seconds=4.0))
