"""Adapters of peft and diffusers do on solve and edit what peft itself does, and nothing else is taken for one."""

import copy
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from diffmusic.backbones.musicldm import MusicLDM
from diffmusic.errors import InputError
from diffmusic.models.load import load_model
from diffmusic.solver.noise import generator
from diffmusic.tasks.adapter import Adapter, attach
from diffmusic.tasks.fine_tuning import capture
from diffmusic.tasks.lora import adapted, read_lora

Run = Callable[..., SimpleNamespace]
Song = Callable[..., Path]
Built = Callable[[str], Path]

LAYERS = {
    "musicldm": ["to_q", "to_out.0", "conv1", "time_emb_proj", "proj_in"],
    "stable_audio": ["to_q", "to_v", "preprocess_conv"],
    "stable_audio_3": ["to_q", "to_out.0", "to_qkv"],
}
"""Layers that carry an adapter: linear and convolutional ones, at any depth."""


def answer(backbone: Any) -> torch.Tensor:
    z = torch.randn(1, *backbone.latent_shape(8000), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        result: torch.Tensor = backbone.denoise(z, 2.0, backbone.embed("a harp"))
    return result


def network(backbone: Any) -> Any:
    return backbone.unet if hasattr(backbone, "unet") else backbone.transformer


def tuned(folder: Path, kind: str, **settings: Any) -> tuple[Any, Any]:
    """A backbone whose network peft has wrapped, with adapters that do something, and peft's model."""
    backbone = load_model(str(folder))
    names = [
        name for name, layer in network(backbone).named_modules()
        if any(name.endswith(each) for each in LAYERS[kind]) and hasattr(layer, "weight")
        and getattr(layer, "groups", 1) == 1 and not isinstance(layer, torch.nn.GroupNorm)
    ]  # fmt: skip
    assert names
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=names, **settings)
    wrapped = peft.get_peft_model(network(backbone), config)
    for number, (name, parameter) in enumerate(wrapped.named_parameters()):
        if "lora_" in name:
            parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator(number))
    return backbone, wrapped


@pytest.mark.parametrize("kind", LAYERS)
def test_a_folder_of_peft_does_what_peft_does(kind: str, built: Built, tmp_path: Path) -> None:
    wrapped_backbone, wrapped = tuned(built(kind), kind)
    wrapped.save_pretrained(tmp_path / "lora")
    backbone = load_model(str(built(kind)))
    before = answer(backbone)
    changed = adapted(backbone, tmp_path / "lora")
    torch.testing.assert_close(answer(changed), answer(wrapped_backbone), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(answer(changed), before, rtol=1e-2)
    assert torch.equal(answer(backbone), before)
    assert changed.describe() == backbone.describe()


@pytest.mark.parametrize(
    "settings", [{"use_rslora": True}, {"alpha_pattern": {"to_q": 9}, "rank_pattern": {"to_q": 2}}]
)
def test_peft_says_how_strong_each_layer_is(settings: dict[str, Any], tiny: Path, tmp_path: Path) -> None:
    wrapped_backbone, wrapped = tuned(tiny, "musicldm", **settings)
    wrapped.save_pretrained(tmp_path / "lora")
    changed = adapted(load_model(str(tiny)), tmp_path / "lora" / "adapter_model.safetensors")
    torch.testing.assert_close(answer(changed), answer(wrapped_backbone), rtol=1e-5, atol=1e-6)


def diffusers_keys(folder: Path, form: str) -> Path:
    """The same adapter in keys of diffusers: with its network's name, and formerly."""
    tensors = load_file(folder / "adapter_model.safetensors")
    path = folder / f"{form}.safetensors"
    names = {name: name.removeprefix("base_model.model.") for name in tensors}
    alphas = {}
    if form == "formerly":
        names = {k: v.replace("lora_A", "lora.down").replace("lora_B", "lora.up") for k, v in names.items()}
        alphas = {f"unet.{name.split('.lora.')[0]}.alpha": torch.tensor(5.0) for name in names.values()}
    facts = {"lora_adapter_metadata": json.dumps({"unet.r": 3, "unet.lora_alpha": 5})} if form == "now" else {}
    save_file({f"unet.{names[k]}": v for k, v in tensors.items()} | alphas, path, facts)
    return path


@pytest.mark.parametrize("form", ["now", "formerly"])
def test_the_keys_of_diffusers_are_read(form: str, tiny: Path, tmp_path: Path) -> None:
    wrapped_backbone, wrapped = tuned(tiny, "musicldm")
    wrapped.save_pretrained(tmp_path)
    path = diffusers_keys(tmp_path, form)
    assert read_lora(path).network == "unet"
    changed = adapted(load_model(str(tiny)), path)
    torch.testing.assert_close(answer(changed), answer(wrapped_backbone), rtol=1e-5, atol=1e-6)


def test_the_attention_processors_of_old_are_read(tiny: Path, tmp_path: Path) -> None:
    backbone: Any = load_model(str(tiny))
    name = next(name for name, _ in backbone.unet.named_modules() if name.endswith("attn1.to_out.0"))
    a, b = torch.randn(2, 16, generator=generator(1)), torch.randn(16, 2, generator=generator(2))
    old = f"unet.{name.removesuffix('.to_out.0')}.processor.to_out_lora"
    save_file({f"{old}.down.weight": a, f"{old}.up.weight": b}, tmp_path / "a.safetensors")
    expected = copy.deepcopy(backbone.unet)
    expected.get_submodule(name).weight.data += b @ a
    changed = adapted(backbone, tmp_path / "a.safetensors")
    merged = dataclasses.replace(backbone, unet=expected)
    torch.testing.assert_close(answer(changed), answer(merged), rtol=1e-5, atol=1e-6)


def test_what_fuse_has_learnt_is_taken_too_with_the_same_result(tiny: Path, tmp_path: Path) -> None:
    backbone = load_model(str(tiny))
    z0 = torch.randn(1, *backbone.latent_shape(8000), generator=generator(0))
    learnt = capture(backbone, z0, "a harp", steps=5, rank=4, rate=1e-2)
    (tmp_path / "learnt.safetensors").write_bytes(learnt.encode())
    changed = adapted(backbone, tmp_path / "learnt.safetensors")
    torch.testing.assert_close(answer(changed), answer(attach(backbone, learnt)))
    assert not torch.allclose(answer(changed), answer(backbone))


def test_activations_that_are_computed_again_know_the_adapter(tiny: Path) -> None:
    answers = []
    for checkpointing in (True, False):
        backbone = MusicLDM.load(tiny, checkpointing=checkpointing)
        z0 = torch.randn(1, *backbone.latent_shape(8000), generator=generator(0))
        answers.append(answer(attach(backbone, capture(backbone, z0, "a harp", steps=3, rate=1e-2))))
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-5)


def test_in_half_precision_the_adapter_keeps_its_own(tiny: Path, tmp_path: Path) -> None:
    _, wrapped = tuned(tiny, "musicldm")
    wrapped.save_pretrained(tmp_path)
    full, half = (adapted(load_model(str(tiny), dtype=dtype), tmp_path) for dtype in ("float32", "bfloat16"))
    assert 0 < float((answer(half) - answer(full)).norm() / answer(full).norm()) < 0.05


def keys(**tensors: tuple[int, ...]) -> Callable[[Path, Path], Path]:
    def write(tiny: Path, folder: Path) -> Path:
        named = {name.replace("__", "."): torch.ones(shape) for name, shape in tensors.items()}
        save_file(named, folder / "a.safetensors")
        return folder / "a.safetensors"

    return write


def other_model(tiny: Path, folder: Path) -> Path:
    (folder / "a.safetensors").write_bytes(Adapter({"conv_in.lora_A.weight": torch.ones(2, 4, 3, 3),
        "conv_in.lora_B.weight": torch.ones(8, 2, 1, 1)}, 2, 2.0, "a harp", "f" * 64).encode())  # fmt: skip
    return folder / "a.safetensors"


def bare_peft(tiny: Path, folder: Path) -> Path:
    _, wrapped = tuned(tiny, "musicldm")
    wrapped.save_pretrained(folder)
    (folder / "adapter_config.json").unlink()
    return folder


def dora(tiny: Path, folder: Path) -> Path:
    _, wrapped = tuned(tiny, "musicldm", use_dora=True)
    wrapped.save_pretrained(folder)
    return folder


REFUSED: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "no file": (lambda _, folder: folder / "none.safetensors", "no such file"),
    "a checkpoint": (lambda tiny, _: tiny / "vae" / "diffusion_pytorch_model.safetensors", "is no matrix of a low"),
    "a model folder": (lambda tiny, _: tiny, "is no safetensors file that can be read"),
    "a text": (lambda tiny, _: tiny / "model_index.json", "is no safetensors file that can be read"),
    "another network": (
        keys(transformer__a__lora_A__weight=(2, 8), transformer__a__lora_B__weight=(8, 2)),
        "is for a transformer, and the network of model .* is a unet",
    ),
    "two networks": (
        keys(unet__a__lora_A__weight=(2, 8), transformer__a__lora_B__weight=(8, 2)), "is for transformer and unet",
    ),
    "a text encoder": (
        keys(text_encoder__a__lora_A__weight=(2, 8), unet__a__lora_B__weight=(8, 2)), "changes the text encoder too",
    ),
    "no such layer": (
        keys(unet__mid__lora_A__weight=(2, 8), unet__mid__lora_B__weight=(8, 2)), "unet of model .*has no layer mid",
    ),
    "other sizes": (
        keys(unet__conv_in__lora_A__weight=(2, 320, 3, 3), unet__conv_in__lora_B__weight=(8, 2, 1, 1)),
        "conv_in maps 4 channels to 8 there, and 320 to 8 in the adapter",
    ),
    "half a pair": (keys(unet__conv_in__lora_A__weight=(2, 4, 3, 3)), "conv_in has no pair of matrices of one rank"),
    "two ranks": (
        keys(unet__a__lora_A__weight=(2, 8), unet__a__lora_B__weight=(8, 3)), "a has no pair of matrices of one rank",
    ),
    "another model": (other_model, "was learnt on weights ffffffffffff; those of model"),
    "peft without its settings": (bare_peft, "needs the adapter_config.json"),
    "DoRA": (dora, "is no matrix of a low-rank adapter|is a DoRA"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_a_line_that_says_why(case: str, tiny: Path, tmp_path: Path) -> None:
    make, message = REFUSED[case]
    path = make(tiny, tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        adapted(load_model(str(tiny)), path)
    assert "\n" not in str(caught.value)


def test_fuse_says_that_a_foreign_adapter_is_not_its_own(tmp_path: Path) -> None:
    keys(unet__a__lora_A__weight=(2, 8))(tmp_path, tmp_path)
    with pytest.raises(InputError, match="holds no adapter that fuse has learnt"):
        Adapter.load(tmp_path / "a.safetensors")


WORDS = {
    "solve": (
        "solve",
        "inpainting",
        "INPUT",
        "--gap",
        "0.2:0.3",
        "--steps",
        1,
        "--solver",
        "diffmusic",
        "-s",
        "repeats=1",
    ),
    "edit": ("edit", "INPUT", "--target", "a drum", "--steps", 1),
}


@pytest.mark.parametrize("command", WORDS)
def test_the_command_line_takes_records_and_repeats_an_adapter(
    command: str, tiny: Path, song: Song, run: Run, tmp_path: Path
) -> None:
    _, wrapped = tuned(tiny, "musicldm")
    lora, path = tmp_path / "lora", song(seconds=0.5)
    wrapped.save_pretrained(lora)
    words = [path if word == "INPUT" else word for word in WORDS[command]]
    plain, made, again = (tmp_path / f"{name}.wav" for name in ("plain", "made", "again"))
    assert run(*words, "--model", tiny, "-o", plain).code == 0
    result = run(*words, "--model", tiny, "--adapter", lora, "-o", made)
    assert result.code == 0, result.err
    assert made.read_bytes() != plain.read_bytes()
    document = json.loads(Path(f"{made}.json").read_text())
    assert document["job"]["adapter"] == document["adapter"][0]["path"] == str(lora)
    assert run(command, "--config", f"{made}.json", "--exact", "-o", again).code == 0
    assert again.read_bytes() == made.read_bytes()
    shutil.copy(lora / "adapter_model.safetensors", tmp_path / "kept")
    changed = {name: 2 * value for name, value in load_file(tmp_path / "kept").items()}
    save_file(changed, lora / "adapter_model.safetensors")
    refused = run(command, "--config", f"{made}.json", "--exact", "-o", tmp_path / "no.wav")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "is not the one of the run record" in refused.err
