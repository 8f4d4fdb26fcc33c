"""The paper's own model, Stable Audio, from two files to a fusion, on a tiny checkpoint in its layout."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from diffmusic.models.load import load_model
from diffmusic.solver.dpm_solver import Estimate, dpm_step
from diffmusic.tasks.adapter import attach
from diffmusic.tasks.fine_tuning import capture


@pytest.fixture
def folder(built: Callable[[str], Path]) -> Path:
    return built("stable_audio")


def test_two_files_become_one_with_the_reference_learnt(
    song: Callable[..., Path], run: Callable[..., SimpleNamespace], folder: Path, tmp_path: Path
) -> None:
    original, reference = song("a.wav", seconds=0.3, rate=44100, channels=2), tmp_path / "b.wav"
    soundfile.write(reference, 0.1 * np.random.default_rng(0).standard_normal((9000, 2)), 44100)
    out, again = tmp_path / "out.wav", tmp_path / "again.wav"
    words = ("--prompt", "rain", "--negative-prompt", "music", "--guidance", 2, "--level", 5, "--steps", 4)
    result = run("fuse", original, reference, *words, "--finetune-steps", 2, "--model", folder, "-o", out)
    assert result.code == 0, result.err
    audio, rate = soundfile.read(out)
    assert (audio.shape, rate) == ((13230, 2), 44100)
    document = json.loads(Path(f"{out}.json").read_text())
    assert document["sigmas"][0] > 100  # the levels of EDM
    assert document["costs"]["network_backward"] == 2
    assert run("fuse", "--config", f"{out}.json", "-o", again).code == 0
    assert again.read_bytes() == out.read_bytes()


def test_its_transformer_remembers_and_its_weights_stay(folder: Path) -> None:
    backbone: Any = load_model(str(folder))
    z0 = torch.randn(1, *backbone.latent_shape(8000), generator=torch.Generator().manual_seed(0))
    before = {name: each.clone() for name, each in backbone.transformer.state_dict().items()}
    adapter = capture(backbone, z0, "rain", steps=50, rank=4, rate=1e-2)
    assert min(adapter.losses) < 0.9 * adapter.losses[0]
    tuned: Any = attach(backbone, adapter)
    with torch.no_grad():
        errors = [float((b.denoise(z0 + 1, 2.0, b.embed("rain")) - z0).square().mean()) for b in (backbone, tuned)]
    assert errors[0] != errors[1]
    assert all(torch.equal(each, before[name]) for name, each in backbone.transformer.state_dict().items())


def test_a_step_with_the_clean_latent_as_the_models_output_keeps_it(folder: Path) -> None:
    """On its levels the inverted latent is the clean one, and the sampler's own step stays there."""
    backbone = load_model(str(folder))
    z0 = torch.randn(1, *backbone.latent_shape(8000), generator=torch.Generator().manual_seed(0))
    z = z0
    for sigma, sigma_next in zip(*(backbone.sigmas(6).tolist()[k:] for k in (0, 1)), strict=False):
        z = dpm_step(z, [Estimate(sigma, z0)], sigma_next, torch.zeros_like(z))
        torch.testing.assert_close(z, z0, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["audioldm2", "stable_audio_3"])
def test_other_networks_can_be_tuned_too(built: Callable[[str], Path], name: str) -> None:
    backbone = load_model(str(built(name)))
    z0 = torch.randn(1, *backbone.latent_shape(8000), generator=torch.Generator().manual_seed(0))
    adapter = capture(backbone, z0, "rain", steps=25, rank=4, rate=1e-2, seconds=0.5)
    assert adapter.losses[-1] < 0.95 * adapter.losses[0]
