"""The backbones at their published sizes, with random weights: what memory and speed are measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AudioLDM2UNet2DConditionModel,
    AutoencoderKL,
    AutoencoderOobleck,
    DDIMScheduler,
    StableAudioDiTModel,
    StableAudioProjectionModel,
    UNet2DConditionModel,
)
from torch import nn
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from diffmusic.audio.mel import LogMel
from diffmusic.backbones import ace_step, audioldm2, musicldm, stable_audio, stable_audio_3
from diffmusic.backbones.memory import recompute
from diffmusic.backbones.noise import EDMNoise, FlowNoise, VPNoise
from diffmusic.backbones.stable_audio_3 import Prompt
from diffmusic.backbones.text import Texts

BLOCKS: dict[str, Any] = {
    "sample_size": 256, "in_channels": 8, "out_channels": 8, "block_out_channels": (128, 256, 384, 640),
    "layers_per_block": 2, "attention_head_dim": 8,
    "down_block_types": ("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
    "up_block_types": (*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
}  # fmt: skip
MILLIONS = {"audioldm2": 346.9, "musicldm": 185.0, "stable-audio": 1056.9, "stable-audio-3": 1453.2, "ace-step": 4168.9}
"""Parameters of the networks as published (of Stable Audio 3: with the defaults of diffusers): what is built here must
have as many."""
NOISE = VPNoise.from_scheduler(DDIMScheduler(beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear"))


ACE_STEP: dict[str, Any] = {
    "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "encoder_hidden_size": 2048,
}  # fmt: skip
"""The XL transformer of ACE-Step 1.5: 32 layers of 2560, with 32 attention heads of 128."""


def build_stable_audio_3(checkpointing: bool) -> Any:
    """Stable Audio 3 with random weights."""
    from diffusers import AutoencoderSAME, StableAudio3DiTModel
    from diffusers.pipelines.stable_audio_3.modeling_stable_audio_3 import StableAudio3DurationEmbedder

    vae, transformer = AutoencoderSAME(), StableAudio3DiTModel()
    if checkpointing:
        transformer.enable_gradient_checkpointing()
        recompute(vae, ("TransformerBlock",))
    modules = {"vae": vae, "transformer": transformer, "projection": StableAudio3DurationEmbedder()}
    frozen: Any = {key: part.eval().requires_grad_(False) for key, part in modules.items()}
    texts = Texts(lambda: lambda text: None)
    return stable_audio_3.StableAudio3(
        Path("stable-audio-3"), "stable-audio-3", **frozen, noise=FlowNoise(1.0), texts=texts
    )


def build_ace_step(checkpointing: bool, device: str = "cpu") -> Any:
    """ACE-Step 1.5 XL with random weights, its transformer in bfloat16; on the device meta with none."""
    from diffusers import AceStepTransformer1DModel

    with torch.device("meta"):
        transformer = AceStepTransformer1DModel(**ACE_STEP).to(torch.bfloat16)
    assert not list(transformer.buffers())  # made on no device they would have no values
    transformer.to_empty(device=device)
    for parameter in transformer.parameters():
        nn.init.normal_(parameter, std=0.02) if parameter.ndim > 1 else nn.init.ones_(parameter)
    vae = AutoencoderOobleck(
        encoder_hidden_size=128, downsampling_ratios=[2, 4, 4, 6, 10], channel_multiples=[1, 2, 4, 8, 16],
        decoder_channels=128, decoder_input_channels=64, audio_channels=2, sampling_rate=48000,
    )  # fmt: skip
    if checkpointing:
        transformer.enable_gradient_checkpointing()
    parts = {
        name: part.to(device).eval().requires_grad_(False)
        for name, part in (("vae", vae), ("transformer", transformer))
    }
    attended = torch.randn(1, 300, ACE_STEP["encoder_hidden_size"], device=device)
    return ace_step.AceStep(
        Path("ace-step"), "ace-step", **parts, noise=FlowNoise(1.0, lowest=ace_step.LOWEST),
        texts=Texts(lambda: lambda text: attended), silence=torch.zeros(1, 64, 15000, device=device),
        null=attended[:, :1],
    )  # fmt: skip


def build(name: str, checkpointing: bool, envelope: bool) -> Any:
    """A backbone with random weights."""
    torch.manual_seed(0)
    if name == "ace-step":
        return build_ace_step(checkpointing)
    if name == "stable-audio-3":
        return build_stable_audio_3(checkpointing)
    common: Any = {"folder": Path(name), "name": name, "texts": Texts(lambda: lambda text: None)}
    if name == "stable-audio":
        transformer, projection = StableAudioDiTModel(), StableAudioProjectionModel(768, 768, 0, 512)
        if checkpointing:
            transformer.enable_gradient_checkpointing()
        noise = EDMNoise(0.3, 500.0, 1.0, "v_prediction", lambda sigma: sigma)
        modules = {"vae": AutoencoderOobleck(), "transformer": transformer, "projection": projection}
        frozen: Any = {key: part.eval().requires_grad_(False) for key, part in modules.items()}
        return stable_audio.StableAudio(**common, **frozen, noise=noise)
    unet: Any
    if name == "audioldm2":
        unet = AudioLDM2UNet2DConditionModel(**BLOCKS, cross_attention_dim=tuple([None, 768, 1024] for _ in range(4)))
    else:
        text = {"class_embed_type": "simple_projection", "projection_class_embeddings_input_dim": 512}
        widths = BLOCKS["block_out_channels"]
        unet = UNet2DConditionModel(**BLOCKS, **text, class_embeddings_concat=True, cross_attention_dim=widths)
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    vae = AutoencoderKL(
        in_channels=1, out_channels=1, **kinds, block_out_channels=(128, 256, 512), latent_channels=8,
        layers_per_block=2, scaling_factor=0.41109,
    )  # fmt: skip
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=64, sampling_rate=16000, upsample_initial_channel=1024, upsample_rates=[5, 4, 2, 2, 2],
            upsample_kernel_sizes=[16, 16, 8, 4, 4], resblock_kernel_sizes=[3, 7, 11],
            resblock_dilation_sizes=[[1, 3, 5]] * 3, normalize_before=False,
        )
    )  # fmt: skip
    for parameter in vocoder.parameters():  # afresh it is silent
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="leaky_relu")
    if checkpointing:
        vae.enable_gradient_checkpointing()
        recompute(unet, ("ResnetBlock2D", "Transformer2DModel"))
    parts = {
        key: part.eval().requires_grad_(False) for key, part in (("vae", vae), ("unet", unet), ("vocoder", vocoder))
    }
    if envelope:
        common["vocoder_gradient"] = "envelope"
    kind: Any = audioldm2.AudioLDM2 if name == "audioldm2" else musicldm.MusicLDM
    return kind(**common, **parts, noise=NOISE, log_mel=LogMel(), excerpt_seconds=10.24)


def condition(name: str) -> Any:
    """A condition of the published shapes, of a prompt of twelve tokens."""
    if name == "ace-step":
        return ace_step.Prompt("a prompt")
    if name == "audioldm2":
        ones = torch.ones(1, 12, dtype=torch.long)
        return audioldm2.Condition(torch.randn(1, 8, 768), torch.randn(1, 12, 1024), ones, ones)
    if name == "stable-audio-3":
        prompt: Any = Prompt(torch.randn(1, 256, 768), torch.ones(1, 256, dtype=torch.long))
        return stable_audio.Condition(prompt)
    return torch.randn(1, 512) if name == "musicldm" else stable_audio.Condition(torch.randn(1, 128, 768))
