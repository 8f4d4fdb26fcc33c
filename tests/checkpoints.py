"""Tiny checkpoints of every kind in the hub's own folder layout, written by diffusers and transformers themselves."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AudioLDM2ProjectionModel,
    AudioLDM2UNet2DConditionModel,
    AutoencoderKL,
    AutoencoderOobleck,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    StableAudioDiTModel,
    StableAudioProjectionModel,
    UNet2DConditionModel,
)
from torch import nn
from transformers import (
    ClapConfig,
    ClapModel,
    ClapTextModelWithProjection,
    GPT2Config,
    GPT2Model,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
)


def _awake(module: Any) -> Any:
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
        sample_size=(256, 16), in_channels=channels, out_channels=channels, block_out_channels=(8, 16),
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
        "hidden_size": 8, "patch_embeds_hidden_size": 4, "depths": [1, 1], "num_attention_heads": [2, 2],
        "num_hidden_layers": 2, "projection_dim": 12, "spec_size": 32, "num_mel_bins": 8, "window_size": 4,
    }  # fmt: skip
    torch.manual_seed(3)
    model = ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=12))
    model.save_pretrained(folder / "text_encoder")


def ddim(folder: Path) -> None:
    """The scheduler of AudioLDM2 and MusicLDM."""
    DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")  # fmt: skip


def musicldm(folder: Path, text: bool = True) -> Path:
    """A MusicLDM that any test can afford: about a hundred thousand parameters, prompts included."""
    vae().save_pretrained(folder / "vae")
    unet(text=12 if text else None).save_pretrained(folder / "unet")
    hifigan().save_pretrained(folder / "vocoder")
    ddim(folder)
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


def audioldm(folder: Path) -> Path:
    """An AudioLDM, which holds CLAP's text tower alone."""
    musicldm(folder)
    clap = ClapModel.from_pretrained(folder / "text_encoder")
    text = ClapTextModelWithProjection(clap.config.text_config)
    text.load_state_dict(
        {name: value for name, value in clap.state_dict().items() if name.startswith("text_")}, strict=False
    )
    shutil.rmtree(folder / "text_encoder")
    text.save_pretrained(folder / "text_encoder")
    index = json.loads((folder / "model_index.json").read_text())
    kind = {"_class_name": "AudioLDMPipeline", "text_encoder": ["transformers", "ClapTextModelWithProjection"]}
    (folder / "model_index.json").write_text(json.dumps(index | kind))
    return folder


LETTERS = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)] + [(chr(code), -3.0) for code in range(33, 127)]


def t5(folder: Path, width: int, tokenizer: str = "tokenizer", encoder: str = "text_encoder") -> None:
    """A T5 encoder and its tokenizer, which knows single letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    letters = Tokenizer(models.Unigram(LETTERS, unk_id=2))
    letters.pre_tokenizer, letters.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    letters.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    (folder / tokenizer).mkdir(parents=True)
    letters.save(str(folder / tokenizer / "tokenizer.json"))
    kind = {"tokenizer_class": "T5Tokenizer", "model_max_length": 24, "extra_ids": 0, "additional_special_tokens": []}
    tokens = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / tokenizer / "tokenizer_config.json").write_text(json.dumps(kind | tokens))
    torch.manual_seed(4)
    T5EncoderModel(
        T5Config(vocab_size=len(LETTERS), d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    ).save_pretrained(folder / encoder)


def audioldm2(folder: Path) -> Path:
    """An AudioLDM2 whose index names GPT2Model, as those on the hub do."""
    vae().save_pretrained(folder / "vae")
    hifigan().save_pretrained(folder / "vocoder")
    ddim(folder)
    clap(folder)
    t5(folder, 20, "tokenizer_2", "text_encoder_2")
    torch.manual_seed(5)
    AudioLDM2UNet2DConditionModel(
        sample_size=256, in_channels=4, out_channels=4, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=([None, 16, 20], [None, 16, 20]), attention_head_dim=4, norm_num_groups=4,
        layers_per_block=1, transformer_layers_per_block=1,
    ).save_pretrained(folder / "unet")  # fmt: skip
    AudioLDM2ProjectionModel(text_encoder_dim=12, text_encoder_1_dim=20, langauge_model_dim=16).save_pretrained(
        folder / "projection_model"
    )
    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=16, n_positions=64)
    language = folder / "language_model"
    GPT2Model(config).save_pretrained(language)
    (language / "config.json").write_text(
        json.dumps(json.loads((language / "config.json").read_text()) | {"max_new_tokens": 3})
    )
    index = {
        "_class_name": "AudioLDM2Pipeline",
        "vae": ["diffusers", "AutoencoderKL"],
        "unet": ["audioldm2", "AudioLDM2UNet2DConditionModel"],
        "vocoder": ["transformers", "SpeechT5HifiGan"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "ClapModel"],
        "tokenizer": ["transformers", "RobertaTokenizer"],
        "text_encoder_2": ["transformers", "T5EncoderModel"],
        "tokenizer_2": ["transformers", "T5Tokenizer"],
        "projection_model": ["audioldm2", "AudioLDM2ProjectionModel"],
        "language_model": ["transformers", "GPT2Model"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def oobleck() -> AutoencoderOobleck:
    torch.manual_seed(6)
    return AutoencoderOobleck(
        encoder_hidden_size=8, downsampling_ratios=[4, 8, 8], channel_multiples=[1, 1, 2], decoder_channels=8,
        decoder_input_channels=4, audio_channels=2, sampling_rate=44100,
    )  # fmt: skip


def stable_audio(folder: Path) -> Path:
    """A Stable Audio Open: stereo at 44.1 kHz, trained on 1.49 s."""
    oobleck().save_pretrained(folder / "vae")
    t5(folder, 16)
    torch.manual_seed(7)
    transformer = StableAudioDiTModel(
        sample_size=256, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2,
        num_key_value_attention_heads=1, cross_attention_dim=16, time_proj_dim=8, global_states_input_dim=32,
        cross_attention_input_dim=16,
    )  # fmt: skip
    transformer.save_pretrained(folder / "transformer")
    StableAudioProjectionModel(text_encoder_dim=16, conditioning_dim=16, min_value=0, max_value=512).save_pretrained(
        folder / "projection_model"
    )
    (folder / "scheduler").mkdir()
    # Written by hand: the library's own class cannot be made without torchsde.
    scheduler = {
        "_class_name": "CosineDPMSolverMultistepScheduler", "sigma_min": 0.3, "sigma_max": 500, "sigma_data": 1.0,
        "sigma_schedule": "exponential", "prediction_type": "v_prediction", "solver_order": 2,
    }  # fmt: skip
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    index = {
        "_class_name": "StableAudioPipeline",
        "vae": ["diffusers", "AutoencoderOobleck"],
        "transformer": ["diffusers", "StableAudioDiTModel"],
        "projection_model": ["stable_audio", "StableAudioProjectionModel"],
        "scheduler": ["diffusers", "CosineDPMSolverMultistepScheduler"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "T5Tokenizer"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def stable_audio_3(folder: Path) -> Path:
    """A Stable Audio 3, in the layout of diffusers 0.42."""
    from diffusers import AutoencoderSAME, StableAudio3DiTModel
    from diffusers.pipelines.stable_audio_3.modeling_stable_audio_3 import StableAudio3DurationEmbedder
    from transformers import T5GemmaConfig, T5GemmaEncoderModel

    torch.manual_seed(8)
    same = AutoencoderSAME(
        patch_size=64, encoder_channels=8, encoder_c_mults=(2,), encoder_strides=(4,), encoder_transformer_depths=(1,),
        latent_dim=4, dim_heads=8,
    )  # fmt: skip
    _awake(same).save_pretrained(folder / "vae")  # afresh, its blocks hand on nothing of the latent
    transformer = StableAudio3DiTModel(
        io_channels=4, embed_dim=16, depth=1, num_heads=2, cond_token_dim=16, global_cond_dim=16, local_add_cond_dim=5,
        timestep_features_dim=8, num_memory_tokens=2,
    )  # fmt: skip
    for block in transformer.transformer_blocks:  # afresh, it does not see what surrounds a gap
        nn.init.normal_(block.to_local_embed[-1].weight, std=0.5)
    transformer.save_pretrained(folder / "transformer")
    StableAudio3DurationEmbedder(output_dim=16, fourier_dim=8).save_pretrained(folder / "duration_embedder")
    FlowMatchEulerDiscreteScheduler(num_train_timesteps=1).save_pretrained(folder / "scheduler")
    t5(folder, 16)
    gemma = {
        "vocab_size": len(LETTERS), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "layer_types": ["full_attention"],
    }  # fmt: skip
    T5GemmaEncoderModel(T5GemmaConfig(encoder=gemma, decoder=gemma, is_encoder_decoder=False)).save_pretrained(
        folder / "text_encoder"
    )
    index = {
        "_class_name": "StableAudio3Pipeline",
        "vae": ["diffusers", "AutoencoderSAME"],
        "transformer": ["diffusers", "StableAudio3DiTModel"],
        "duration_embedder": ["stable_audio_3", "StableAudio3DurationEmbedder"],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "T5GemmaEncoderModel"],
        "tokenizer": ["transformers", "T5Tokenizer"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def letters(folder: Path) -> None:
    """A tokenizer that knows single letters, in a class that any model may name."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    known = Tokenizer(models.Unigram(LETTERS, unk_id=2))
    known.pre_tokenizer, known.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    folder.mkdir(parents=True)
    known.save(str(folder / "tokenizer.json"))
    kind = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind | {"eos_token": "</s>", "unk_token": "<unk>"}))


def ace_step(folder: Path, **settings: Any) -> Path:
    """An ACE-Step 1.5: stereo at 48 kHz, in the layout of diffusers. settings: of the transformer."""
    from diffusers import AceStepTransformer1DModel
    from diffusers.pipelines.ace_step.modeling_ace_step import AceStepConditionEncoder
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(9)
    AutoencoderOobleck(
        encoder_hidden_size=8, downsampling_ratios=[2, 4, 4, 6, 10], channel_multiples=[1, 1, 1, 1, 2],
        decoder_channels=8, decoder_input_channels=4, audio_channels=2, sampling_rate=48000,
    ).save_pretrained(folder / "vae")  # fmt: skip
    sizes = {
        "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
        "sliding_window": 16,
    }  # fmt: skip
    AceStepTransformer1DModel(
        hidden_size=16, num_hidden_layers=2, in_channels=12, audio_acoustic_hidden_dim=4, patch_size=2,
        encoder_hidden_size=12, **sizes, **settings,
    ).save_pretrained(folder / "transformer")  # fmt: skip
    conditioner = AceStepConditionEncoder(
        hidden_size=12, text_hidden_dim=16, timbre_hidden_dim=4, num_lyric_encoder_hidden_layers=2,
        num_timbre_encoder_hidden_layers=2, **sizes,
    )  # fmt: skip
    # As a checkpoint has it, silence has no latent of zeros.
    conditioner.silence_latent = 0.3 * torch.randn(1, 15000, 4)
    conditioner.save_pretrained(folder / "condition_encoder")
    FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, shift=1.0).save_pretrained(folder / "scheduler")
    letters(folder / "tokenizer")
    Qwen3Model(
        Qwen3Config(
            vocab_size=len(LETTERS), hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, head_dim=8, max_position_embeddings=4096,
        )
    ).save_pretrained(folder / "text_encoder")  # fmt: skip
    index = {
        "_class_name": "AceStepPipeline",
        "vae": ["diffusers", "AutoencoderOobleck"],
        "transformer": ["diffusers", "AceStepTransformer1DModel"],
        "condition_encoder": ["ace_step", "AceStepConditionEncoder"],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen3Model"],
        "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
        "audio_tokenizer": [None, None],
        "audio_token_detokenizer": [None, None],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
