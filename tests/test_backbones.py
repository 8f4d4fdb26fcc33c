"""Backbones: the contract over the registry's mini and a MusicLDM checkpoint in the hub's own layout."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import ClapModel, RobertaTokenizer

from diffmusic.backbones.musicldm import MINI, MusicLDM, mini
from diffmusic.backbones.noise import VPNoise
from diffmusic.errors import InputError
from diffmusic.models.load import load_model
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings
from diffmusic.testing import check_backbone
from diffmusic_operators.inpainting import Inpainting
from diffmusic_solvers.diffmusic import DiffMusic
from tests import checkpoints


def test_mini_keeps_the_contract() -> None:
    check_backbone(mini())


def test_a_mel_louder_than_any_music_makes_no_burst() -> None:
    prior = mini()
    mel = torch.full((1, 50, 64), -2.0)
    mel[:, 20:23] = 20.0
    assert 1 < float(prior.vocoder(mel).abs().max()) < 100
    silent = torch.full((1, 50, 64), -8.0)
    assert torch.equal(torch.minimum(silent, prior.vocoder.loudest(silent)), silent)
    time = torch.arange(16000) / 16000
    for frequency in (55, 440, 3000, 7000):
        sine = prior.mel(torch.sin(2 * torch.pi * frequency * time)[None, None])
        assert (sine.reshape(-1, 64) < prior.vocoder.loudest(sine)).all()


def test_musicldm_keeps_the_contract(tiny: Path) -> None:
    check_backbone(load_model(str(tiny)))


def test_a_folder_is_read_by_the_backbone_that_knows_its_pipeline(tiny: Path) -> None:
    assert isinstance(load_model(str(tiny)), MusicLDM)
    assert load_model("mini").describe()["name"] == "mini"


def test_levels_between_training_timesteps_are_interpolated() -> None:
    noise = VPNoise.from_scheduler(DDIMScheduler(beta_schedule="scaled_linear"))
    between = float(np.sqrt(noise.grid[499] * noise.grid[500]))
    assert noise.timestep(between) == pytest.approx(499.5)
    assert noise.timestep(0.0) == 0
    assert noise.timestep(1e9) == 999


@pytest.mark.parametrize("steps", [1, 2, 7, 50, 400, 999, 1000])
def test_sigmas_fall_along_the_training_grid_to_zero(steps: int) -> None:
    noise = VPNoise.from_scheduler(DDIMScheduler(beta_schedule="scaled_linear"))
    sigmas = noise.sigmas(steps).numpy()
    assert len(sigmas) == steps + 1
    assert (np.diff(sigmas) < 0).all()
    assert np.isin(sigmas[:-1], noise.grid).all()
    assert sigmas[0] == noise.grid[-1]
    assert sigmas[-1] == 0
    assert steps == 1 or sigmas[-2] == noise.grid[0]


def test_sigmas_are_even_in_their_logarithm_where_the_grid_allows_it() -> None:
    noise = VPNoise.from_scheduler(DDIMScheduler(beta_schedule="scaled_linear"))
    ratios = np.diff(np.log(noise.sigmas(13)[:-1].numpy()))
    assert np.ptp(ratios) < 0.35 * np.abs(ratios).mean()


def test_as_many_steps_as_the_grid_has_or_none_more() -> None:
    noise = VPNoise.from_scheduler(DDIMScheduler(beta_schedule="scaled_linear"))
    for steps in (0, 1001):
        with pytest.raises(InputError, match="steps must be 1 to 1000"):
            noise.sigmas(steps)


def test_text_embedding_is_the_one_musicldm_was_trained_on(tiny: Path) -> None:
    backbone = load_model(str(tiny))
    clap = ClapModel.from_pretrained(tiny / "text_encoder").eval()
    tokens = RobertaTokenizer.from_pretrained(tiny / "tokenizer")(
        "a harp", padding="max_length", truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        features = clap.get_text_features(**tokens)
    expected = getattr(features, "pooler_output", features)
    torch.testing.assert_close(backbone.embed("a harp"), expected)
    assert not torch.allclose(backbone.embed("a harp"), backbone.embed(None))


def test_a_prompt_changes_what_the_network_says(tiny: Path) -> None:
    backbone = load_model(str(tiny))
    z = torch.randn(1, *backbone.latent_shape(8000), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        harp, drum = (backbone.denoise(z, 5.0, backbone.embed(text)) for text in ("a harp", "a drum"))
    assert not torch.allclose(harp, drum)


def test_a_prompt_to_a_prior_without_text_is_refused(tmp_path: Path) -> None:
    silent = load_model(str(checkpoints.musicldm(tmp_path / "silent", text=False)))
    assert silent.embed(None) is None
    with pytest.raises(InputError, match="takes no prompt"):
        silent.embed("a harp")


def test_mini_reads_prompts() -> None:
    backbone = mini()
    z = torch.randn(1, *backbone.latent_shape(81920), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        piano, drums, nothing = (backbone.denoise(5 * z, 5.0, backbone.embed(text)) for text in ("piano", "drums", ""))
    assert not torch.allclose(piano, drums)
    torch.testing.assert_close(nothing, backbone.denoise(5 * z, 5.0, backbone.embed(None)))


def copy(source: Path, target: Path) -> Path:
    return shutil.copytree(source, target)


def test_broken_folders_are_refused_in_one_line(tiny: Path, tmp_path: Path) -> None:
    def message(folder: Path) -> str:
        with pytest.raises(InputError) as caught:
            load_model(str(folder))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    (tmp_path / "empty").mkdir()
    assert "no model_index.json" in message(tmp_path / "empty")

    garbled = copy(tiny, tmp_path / "garbled")
    (garbled / "model_index.json").write_text("{")
    assert "cannot be read" in message(garbled)

    stranger = copy(tiny, tmp_path / "stranger")
    index = json.loads((stranger / "model_index.json").read_text())
    (stranger / "model_index.json").write_text(json.dumps(index | {"_class_name": "FluxPipeline"}))
    assert "FluxPipeline, which no installed backbone reads" in message(stranger)

    partial = copy(tiny, tmp_path / "partial")
    shutil.rmtree(partial / "vae")
    assert "vae/ is missing" in message(partial)

    unweighted = copy(tiny, tmp_path / "unweighted")
    (unweighted / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert "unet has no complete set of weights" in message(unweighted)

    vocoder = copy(tiny, tmp_path / "vocoder")
    (vocoder / "model_index.json").write_text(json.dumps(index | {"vocoder": ["os", "system"]}))
    assert "vocoder os.system is not known" in message(vocoder)


def test_missing_weights_are_not_replaced_by_random_ones(tiny: Path, tmp_path: Path) -> None:
    folder = copy(tiny, tmp_path / "short")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    dropped = sorted(weights)[0]
    save_file({name: value for name, value in weights.items() if name != dropped}, path)
    with pytest.raises(InputError, match="does not fit its configuration"):
        load_model(str(folder))


def test_pickled_weights_are_read_only_if_that_is_asked_for(tiny: Path, tmp_path: Path) -> None:
    folder = copy(tiny, tmp_path / "pickle")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    shutil.rmtree(folder / "unet")
    unet.save_pretrained(folder / "unet", safe_serialization=False)
    with pytest.raises(
        InputError, match=r"unet has no safetensors, only diffusion_pytorch_model.bin: .*--allow-pickle"
    ):
        load_model(str(folder))
    trusted = load_model(str(folder), allow_pickle=True)
    assert trusted.describe()["sha256"] != load_model(str(tiny)).describe()["sha256"]


def test_hash_changes_with_the_weights(tiny: Path, tmp_path: Path) -> None:
    folder = copy(tiny, tmp_path / "changed")
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    name = sorted(weights)[0]
    weights[name] = weights[name] + 1
    save_file(weights, path)
    first, second = (load_model(str(each)).describe()["sha256"] for each in (tiny, folder))
    assert first != second


def test_a_vae_without_text_needs_no_tokenizer(tmp_path: Path) -> None:
    backbone = load_model(str(checkpoints.musicldm(tmp_path / "plain", text=False)))
    assert backbone.embed(None) is None


def test_a_damaged_file_is_found_by_its_hash(tmp_path: Path) -> None:
    folder = copy(MINI, tmp_path / "mini")
    path = folder / "vocoder" / "diffusion_pytorch_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        load_model(str(folder))
    path.unlink()
    with pytest.raises(InputError, match="is missing"):
        load_model(str(folder))


NOT_HASHED = ("README.md", "CREDITS.md", "LICENSE", "hashes.json")


def test_mini_fits_its_budget_and_its_hashes() -> None:
    weights = sorted(MINI.glob("*/*.safetensors"))
    assert {file.parent.name for file in weights} == {"vae", "unet", "vocoder", "text_encoder"}
    files = [file for file in MINI.rglob("*") if file.is_file() and file.name not in NOT_HASHED]
    assert sum(file.stat().st_size for file in files) < 32e6
    hashes = json.loads((MINI / "hashes.json").read_text())
    assert set(hashes) == {file.relative_to(MINI).as_posix() for file in files}
    for file in weights:
        assert all(value.dtype == torch.float16 for value in load_file(file).values() if value.is_floating_point())


def test_the_passes_of_guidance_are_two_only_where_the_prompts_differ(tiny: Path) -> None:
    backbone, solver = load_model(str(tiny)), DiffMusic(repeats=1)

    def passes(**text: Any) -> int:
        audio = 0.1 * np.random.default_rng(0).standard_normal((1, 4000))
        operator = Inpainting(gap=((0.1, 0.15),))
        return restore(audio, 16000, operator, solver, backbone, RestoreSettings(steps=2, **text)).costs.network_forward

    assert passes() == passes(prompt="") == passes(prompt="a harp", guidance=1.0) == 2
    assert passes(prompt="a harp", negative_prompt="a harp") == 2
    assert passes(prompt="a harp") == passes(negative_prompt="a drum") == 4


def test_a_device_is_chosen_and_checked_from_python_too() -> None:
    assert load_model("mini", device="auto").device.type in ("cpu", "cuda", "mps")
    absent = "mps" if torch.cuda.is_available() else "cuda"
    for name in (absent, "cpu:x", "gpu", ""):
        with pytest.raises(InputError, match=f"device {name!r}"):
            load_model("mini", device=name)
