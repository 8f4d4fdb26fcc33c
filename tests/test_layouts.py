"""Checkpoint layouts: what is done to a tiny checkpoint, and whether it still loads or in which line it is refused."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffmusic.errors import InputError
from diffmusic.models.load import load_model

Built = Callable[[str], Path]
Change = Callable[[Path], None]
LOADS = None
BETAS = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear"}


def written(name: str, text: str) -> Change:
    """Write a file of the folder."""

    def change(folder: Path) -> None:
        path = folder / name
        path.unlink(missing_ok=True)  # the copy is made of links
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    return change


def settings(name: str, *absent: str, **values: Any) -> Change:
    """Change or remove settings in a JSON file."""

    def change(folder: Path) -> None:
        table = json.loads((folder / name).read_text()) | values
        written(name, json.dumps({key: value for key, value in table.items() if key not in absent}))(folder)

    return change


def index(**values: Any) -> Change:
    return settings("model_index.json", **values)


def scheduler(kind: str, **values: Any) -> Change:
    return written("scheduler/scheduler_config.json", json.dumps({"_class_name": kind, **values}))


def without(*names: str) -> Change:
    """Remove files and folders."""

    def change(folder: Path) -> None:
        for name in names:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def bom(name: str) -> Change:
    return lambda folder: written(name, "\ufeff" + (folder / name).read_text())(folder)


def cut(name: str) -> Change:
    """Cut a file off."""

    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()[:-100]
        (folder / name).unlink()
        (folder / name).write_bytes(content)

    return change


def renamed(name: str, to: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).rename(folder / to)

    return change


def halved(part: str, variant: str, dtype: torch.dtype) -> Change:
    """Keep the weights of a part in half precision alone, under diffusers' name of it."""

    def change(folder: Path) -> None:
        for path in (folder / part).glob("*.safetensors"):
            save_file({k: v.to(dtype) for k, v in load_file(path).items()},
                      path.with_name(f"{path.stem}.{variant}.safetensors"), {"format": "pt"})  # fmt: skip
            path.unlink()

    return change


def sharded(part: str, complete: bool = True) -> Change:
    """Split the weights of a part in two files with an index."""

    def change(folder: Path) -> None:
        (path,) = (folder / part).glob("*.safetensors")
        weights = load_file(path)
        names, stem = sorted(weights), path.stem
        path.unlink()
        files = [f"{stem}-0000{n}-of-00002.safetensors" for n in (1, 2)]
        for file, half in zip(files, (names[::2], names[1::2]), strict=True):
            save_file({name: weights[name] for name in half}, folder / part / file, {"format": "pt"})
        places = {name: files[number % 2] for number, name in enumerate(names)}
        table = {"metadata": {"total_size": 1}, "weight_map": places}
        (folder / part / f"{stem}.safetensors.index.json").write_text(json.dumps(table))
        if not complete:
            (folder / part / files[1]).unlink()

    return change


def unchanged(folder: Path) -> None:
    """Nothing."""


UNET = "unet/diffusion_pytorch_model.safetensors"
TOKENS = "tokenizer/tokenizer_config.json"
CASES: list[tuple[str, str, Change, str | None]] = [
    ("as saved", "musicldm", unchanged, LOADS),
    ("as saved", "audioldm", unchanged, LOADS),
    ("as saved", "audioldm2", unchanged, LOADS),
    ("as saved", "ace_step", unchanged, LOADS),
    ("turbo", "ace_step", settings("transformer/config.json", is_turbo=True),
     "distilled to a few steps (turbo): it predicts a sample, not the mean that a solver needs; take ACE-Step"),
    ("turbo by its version", "ace_step", settings("transformer/config.json", model_version="turbo"), "is distilled"),
    ("sft by its version", "ace_step", settings("transformer/config.json", model_version="sft"), LOADS),
    ("no condition encoder", "ace_step", without("condition_encoder"), "condition_encoder/ is missing"),
    ("text encoder missing", "ace_step", without("text_encoder"), "is incomplete: text_encoder/ is missing"),
    ("fp16 condition encoder", "ace_step", halved("condition_encoder", "fp16", torch.float16), LOADS),
    ("the inpainting pipeline", "stable_audio_3", index(_class_name="StableAudio3InpaintPipeline"), LOADS),
    ("the audio-to-audio pipeline", "stable_audio_3", index(_class_name="StableAudio3AudioToAudioPipeline"), LOADS),
    ("as saved", "stable_audio", unchanged, LOADS),
    ("as saved", "stable_audio_3", unchanged, LOADS),
    ("index with a BOM", "musicldm", bom("model_index.json"), LOADS),
    ("scheduler with a BOM", "musicldm", bom("scheduler/scheduler_config.json"), LOADS),
    ("language model's settings with a BOM", "audioldm2", bom("language_model/config.json"), "cannot be loaded"),
    ("foreign hashes, a list", "musicldm", written("hashes.json", "[1, 2]"), LOADS),
    ("foreign hashes, a table", "musicldm", written("hashes.json", '{"unet": {"md5": "0"}}'), LOADS),
    ("foreign hashes, no JSON", "musicldm", written("hashes.json", "sha256sum"), LOADS),
    ("hashes of ours that differ", "musicldm", written("hashes.json", json.dumps({UNET: 64 * "0"})), "is damaged"),
    ("extra files", "musicldm", written("README.md", "hello"), LOADS),
    ("extra weights beside", "musicldm", written("unet/lora.ckpt", "x"), LOADS),
    ("extra part that nothing reads", "musicldm", index(safety_checker=["diffusers", "Checker"]), LOADS),
    ("no feature extractor", "musicldm", index(feature_extractor=["transformers", "ClapFeatureExtractor"]), LOADS),
    ("fp16 alone", "musicldm", halved("unet", "fp16", torch.float16), LOADS),
    ("bf16 alone", "musicldm", halved("vae", "bf16", torch.bfloat16), LOADS),
    ("fp16 vocoder", "musicldm", halved("vocoder", "fp16", torch.float16), LOADS),
    ("fp16 text encoder", "musicldm", halved("text_encoder", "fp16", torch.float16), LOADS),
    ("fp16 transformer", "stable_audio", halved("transformer", "fp16", torch.float16), LOADS),
    ("fp16 transformer", "stable_audio_3", halved("transformer", "fp16", torch.float16), LOADS),
    ("an unknown variant alone", "musicldm", halved("unet", "int8", torch.float16), "no complete set of weights"),
    ("shards", "musicldm", sharded("unet"), LOADS),
    ("shards of a text encoder", "musicldm", sharded("text_encoder"), LOADS),
    ("a shard is missing", "musicldm", sharded("unet", complete=False), "unet has no complete set of weights"),
    ("weights cut off", "musicldm", cut(UNET), "unet cannot be loaded"),
    ("weights missing", "musicldm", without(UNET), "unet has no complete set of weights"),
    ("weights under another name", "musicldm", renamed(UNET, "unet/unet.safetensors"), "no complete set of weights"),
    ("weights as a pickle", "musicldm", renamed(UNET, "unet/diffusion_pytorch_model.bin"), "--allow-pickle"),
    ("weights for GGUF", "musicldm", renamed(UNET, "unet/unet.gguf"), "only unet.gguf"),
    ("settings missing", "musicldm", without("unet/config.json"), "unet cannot be loaded"),
    ("settings are no JSON", "musicldm", written("unet/config.json", "{"), "unet cannot be loaded"),
    ("settings of another size", "musicldm", settings("unet/config.json", norm_num_groups=3), "unet cannot be loaded"),
    ("index missing", "musicldm", without("model_index.json"), "it is not a model in the diffusers layout"),
    ("index is no JSON", "musicldm", written("model_index.json", "{"), "cannot be read"),
    ("index is a list", "musicldm", written("model_index.json", "[]"), "does not hold a table"),
    ("index with a string for a pair", "musicldm", index(vocoder="SpeechT5HifiGan"), "vocoder is a pair of library"),
    ("index with a string for a pair", "stable_audio", index(transformer="DiT"), "transformer is a pair of library"),
    ("index with one word", "musicldm", index(unet=["diffusers"]), "unet is a pair of library and class"),
    ("index with numbers", "musicldm", index(unet=[1, 2]), "unet is a pair of library and class"),
    ("index with an absent part", "musicldm", index(unet=[None, None]), "unet is a pair of library and class"),
    ("index of another pipeline", "musicldm", index(_class_name="FluxPipeline"), "FluxPipeline, which no installed"),
    ("index of no pipeline", "musicldm", index(_class_name=None), "is a None, which no installed backbone reads"),
    ("index of a list", "musicldm", index(_class_name=["a"]), "which no installed backbone reads"),
    ("an unknown vocoder", "musicldm", index(vocoder=["transformers", "Vocos"]), "vocoder transformers.Vocos is not"),
    ("part missing", "musicldm", without("vae"), "vae/ is missing"),
    ("part missing", "stable_audio", without("projection_model"), "projection_model/ is missing"),
    ("part missing", "stable_audio_3", without("duration_embedder"), "duration_embedder/ is missing"),
    ("scheduler missing", "musicldm", without("scheduler"), "scheduler/ is missing"),
    ("scheduler's settings missing", "musicldm", without("scheduler/scheduler_config.json"), "not describe a noise"),
    ("text encoder missing", "musicldm", without("text_encoder"), "is incomplete: text_encoder/ is missing"),
    ("text encoder missing", "audioldm2", without("text_encoder_2"), "is incomplete: text_encoder_2/ is missing"),
    ("text encoder missing", "stable_audio", without("text_encoder"), "is incomplete: text_encoder/ is missing"),
    ("text encoder missing", "stable_audio_3", without("text_encoder"), "is incomplete: text_encoder/ is missing"),
    ("language model missing", "audioldm2", without("language_model"), "is incomplete: language_model/ is missing"),
    ("tokenizer missing", "musicldm", without("tokenizer"), "is incomplete: tokenizer/ is missing"),
    ("tokenizer missing", "stable_audio", without("tokenizer"), "is incomplete: tokenizer/ is missing"),
    ("vocabulary missing", "musicldm", without("tokenizer/vocab.json"), "no tokenizer that can be read"),
    ("no longest text", "musicldm", settings(TOKENS, "model_max_length"), LOADS),
    ("no longest text", "audioldm2", settings("tokenizer_2/tokenizer_config.json", "model_max_length"), LOADS),
    ("no longest text", "stable_audio", settings(TOKENS, "model_max_length"), LOADS),
    ("no longest text", "stable_audio_3", settings(TOKENS, "model_max_length"), LOADS),
    ("PNDM of the same betas", "musicldm", scheduler("PNDMScheduler", **BETAS), LOADS),
    ("UniPC of the same betas", "audioldm2", scheduler("UniPCMultistepScheduler", **BETAS), LOADS),
    ("betas not stated", "musicldm", scheduler("DDIMScheduler"), "does not state beta_start"),
    ("KarrasVe", "musicldm", scheduler("KarrasVeScheduler"), "'KarrasVeScheduler' describes no process"),
    ("consistency", "musicldm", scheduler("CMStochasticIterativeScheduler"), "is distilled to a few steps"),
    ("LCM", "musicldm", scheduler("LCMScheduler", **BETAS), "is distilled to a few steps (LCMScheduler)"),
    ("EDM on MusicLDM", "musicldm",
     scheduler("EDMEulerScheduler", sigma_min=0.1, sigma_max=80, sigma_data=0.5, prediction_type="epsilon"),
     "EDM's preconditioning, where this network was trained with betas"),
    ("flow matching on MusicLDM", "musicldm", scheduler("FlowMatchEulerDiscreteScheduler", num_train_timesteps=1000),
     "a rectified flow, where this network was trained with betas"),
    ("betas on Stable Audio", "stable_audio", scheduler("DDIMScheduler", **BETAS), "describes betas, where this"),
    ("distilled Stable Audio 3", "stable_audio_3",
     settings("scheduler/scheduler_config.json", stochastic_sampling=True),
     "take stabilityai/stable-audio-3-medium-base"),
    ("inverted Stable Audio 3", "stable_audio_3", settings("scheduler/scheduler_config.json", invert_sigmas=True),
     "with invert_sigmas True describes a process that is not supported"),
    ("flow by Heun", "stable_audio_3", scheduler("FlowMatchHeunDiscreteScheduler", num_train_timesteps=1), LOADS),
    ("flow by LCM", "stable_audio_3", scheduler("FlowMatchLCMScheduler", num_train_timesteps=1), "is distilled"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "change", "line"), CASES, ids=[f"{kind}: {name}" for name, kind, *_ in CASES])
@pytest.mark.filterwarnings("ignore:.*they are not verified")
def test_a_layout_loads_or_is_refused_in_a_line(
    name: str, kind: str, change: Change, line: str | None, built: Built, tmp_path: Path
) -> None:
    folder = shutil.copytree(built(kind), tmp_path / "model", copy_function=os.link)
    change(folder)

    def used() -> torch.Tensor:
        backbone = load_model(str(folder))
        z = torch.randn(1, *backbone.latent_shape(2000), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            answer: torch.Tensor = backbone.denoise(z, 2.0, backbone.embed("a harp"))
        return answer

    if line is None:
        assert bool(torch.isfinite(used()).all())
        return
    with pytest.raises(InputError) as caught:
        used()
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
