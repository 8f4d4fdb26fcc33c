"""Tiny MusicLDM checkpoints in the hub's own folder layout, written by diffusers and transformers themselves."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import ClapConfig, ClapModel, SpeechT5HifiGan, SpeechT5HifiGanConfig


def _awake(module: nn.Module) -> nn.Module:
    # A fresh HiFi-GAN is initialised so small that it is silent and has no gradient to speak of.
    torch.manual_seed(0)
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="leaky_relu")
    return module


def vae(channels: int = 4) -> AutoencoderKL:
    torch.manual_seed(1)
    kinds = ("DownEncoderBlock2D",) * 3, ("UpDecoderBlock2D",) * 3
    return AutoencoderKL(
        in_channels=1, out_channels=1, down_block_types=kinds[0], up_block_types=kinds[1],
        block_out_channels=(8, 8, 8), latent_channels=channels, norm_num_groups=4, layers_per_block=1,
        mid_block_add_attention=False, scaling_factor=0.5,
    )  # fmt: skip


def unet(channels: int = 4, text: int | None = None) -> UNet2DConditionModel:
    torch.manual_seed(2)
    conditioned = {} if text is None else {
        "class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": text,
        "class_embeddings_concat": True,
    }  # fmt: skip
    return UNet2DConditionModel(
        sample_size=(32, 16), in_channels=channels, out_channels=channels, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=(8, 16), attention_head_dim=4, norm_num_groups=4, layers_per_block=1, **conditioned,
    )  # fmt: skip


def hifigan() -> SpeechT5HifiGan:
    config = SpeechT5HifiGanConfig(
        model_in_dim=64, sampling_rate=16000, upsample_initial_channel=16, upsample_rates=[5, 4, 8],
        upsample_kernel_sizes=[11, 8, 16], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]],
        normalize_before=False,
    )  # fmt: skip
    return _awake(SpeechT5HifiGan(config))


def clap(folder: Path) -> None:
    """A ClapModel and its tokenizer, as MusicLDM's text_encoder/ and tokenizer/."""
    from tokenizers import pre_tokenizers

    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4}
    for character in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary.setdefault(character, len(vocabulary))
    # As the hub holds it, rather than by a constructor that changed between versions of transformers.
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir(parents=True)
    (tokenizer / "vocab.json").write_text(json.dumps(vocabulary))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    kind = {"tokenizer_class": "RobertaTokenizer", "model_max_length": 77}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(kind))
    text = {
        "vocab_size": len(vocabulary), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "projection_dim": 12, "max_position_embeddings": 80,
    }  # fmt: skip
    audio = {
        "hidden_size": 16, "patch_embeds_hidden_size": 4, "depths": [1, 1], "num_attention_heads": [2, 2],
        "num_hidden_layers": 2, "projection_dim": 12, "spec_size": 32, "num_mel_bins": 8, "window_size": 4,
    }  # fmt: skip
    torch.manual_seed(3)
    model = ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=12))
    model.save_pretrained(folder / "text_encoder")


def musicldm(folder: Path, text: bool = True) -> Path:
    """A MusicLDM that any test can afford: about a hundred thousand parameters, prompts included."""
    vae().save_pretrained(folder / "vae")
    unet(text=12 if text else None).save_pretrained(folder / "unet")
    hifigan().save_pretrained(folder / "vocoder")
    DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")  # fmt: skip
    if text:
        clap(folder)
    index = {
        "_class_name": "MusicLDMPipeline",
        "vae": ["diffusers", "AutoencoderKL"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vocoder": ["transformers", "SpeechT5HifiGan"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "ClapModel"],
        "tokenizer": ["transformers", "RobertaTokenizer"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
