"""Memory of one guided step with full-size backbones: the published configurations, random weights.

    python -m benchmarks.backbone_memory audioldm2 --checkpointing --envelope
    python -m benchmarks.backbone_memory ace-step --checkpointing
    python -m benchmarks.backbone_memory ace-step --count
    python -m benchmarks.backbone_memory --report

A row is one fresh process: one step of ``diffmusic`` (one pass of the network, one decoding with its gradient), on a
gap in 10.24 s. Its peak is counted from the memory held once the weights are there. ``--report`` prints the rows
that were measured (Linux only: the peak is the kernel's own, reset before the step). The network of ACE-Step, whose
weights take 17 GB in float32, is in bfloat16. ``--count`` counts operations instead, without any weights.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
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
from torch.utils.flop_counter import FlopCounterMode
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from diffmusic.audio.mel import LogMel
from diffmusic.backbones import ace_step, audioldm2, musicldm, stable_audio
from diffmusic.backbones.memory import recompute
from diffmusic.backbones.noise import EDMNoise, FlowNoise, VPNoise
from diffmusic.backbones.text import Texts
from diffmusic.jobs import record
from diffmusic.prior import Costs, Prior
from diffmusic.problem import Problem
from diffmusic.solver.noise import generator
from diffmusic.solver.sampling import iterate
from diffmusic_operators.inpainting import Inpainting
from diffmusic_solvers.diffmusic import DiffMusic

RESULTS = Path(__file__).parent / "results" / "backbone_memory.json"
BLOCKS: dict[str, Any] = {
    "sample_size": 256, "in_channels": 8, "out_channels": 8, "block_out_channels": (128, 256, 384, 640),
    "layers_per_block": 2, "attention_head_dim": 8,
    "down_block_types": ("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
    "up_block_types": (*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
}  # fmt: skip
MILLIONS = {"audioldm2": 346.9, "musicldm": 185.0, "stable-audio": 1056.9, "ace-step": 4168.9}
"""Parameters of the networks as published: what is built here must have as many."""
NOISE = VPNoise.from_scheduler(DDIMScheduler(beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear"))


ACE_STEP: dict[str, Any] = {
    "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "encoder_hidden_size": 2048,
}  # fmt: skip
"""The XL transformer of ACE-Step 1.5: 32 layers of 2560, with 32 attention heads of 128."""


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


def count(seconds: float) -> tuple[float, float, float]:
    """Operations of ACE-Step for a second of audio, 1e9: a pass of the network, a decoding, one with its gradient."""
    backbone = build_ace_step(checkpointing=False, device="meta")
    samples = round(seconds * backbone.sample_rate)
    z = torch.empty(1, *backbone.latent_shape(samples), device="meta")

    def spent(work: Callable[[], Any]) -> float:
        with FlopCounterMode(display=False) as counter:
            work()
        return float(counter.get_total_flops() / seconds / 1e9)

    with torch.no_grad():
        passed = spent(lambda: backbone.denoise(z, 1.0, ace_step.Prompt("a prompt")))
        decoded = spent(lambda: backbone.decode(z, samples))
    return passed, decoded, spent(lambda: backbone.decode(z.requires_grad_(), samples).sum().backward())


def build(name: str, checkpointing: bool, envelope: bool) -> Any:
    """A backbone with random weights."""
    torch.manual_seed(0)
    if name == "ace-step":
        return build_ace_step(checkpointing)
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
    return torch.randn(1, 512) if name == "musicldm" else stable_audio.Condition(torch.randn(1, 128, 768))


def memory(field: str) -> float:
    """A field of /proc/self/status, GB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024 / 1e9


def measure(name: str, checkpointing: bool, seconds: float, envelope: bool, covariance: bool) -> dict[str, Any]:
    """One guided step: its peak above the weights, GB, and its time."""
    backbone = build(name, checkpointing, envelope)
    network = backbone.network
    millions = sum(each.numel() for each in network.parameters()) / 1e6
    assert abs(millions - MILLIONS[name]) < 0.1, millions
    samples = round(seconds * backbone.sample_rate)
    operator = Inpainting(gap=((seconds / 2, seconds / 2 + 1),), sample_rate=backbone.sample_rate)
    measured = operator.forward(0.1 * torch.randn(1, backbone.channels, samples, generator=generator(0)))
    prior = Prior(backbone, samples, Costs(), (condition(name),))
    problem = Problem(operator, measured, features=backbone.mel)
    solver = DiffMusic(repeats=1, covariance=covariance)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    held, started, spent = memory("VmRSS"), time.perf_counter(), sum(os.times()[:2])
    ((_, state),) = iterate(solver, problem, prior, backbone.sigmas(2).tolist()[:2], [generator(1)])
    assert bool(torch.isfinite(state.z).all())
    return {
        "model": name,
        "checkpointing": checkpointing,
        "envelope": envelope,
        "covariance": covariance,
        "seconds_of_audio": seconds,
        "weights_gb": round(held, 2),
        "peak_above_weights_gb": round(memory("VmHWM") - held, 2),
        "wall_seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(sum(os.times()[:2]) - spent, 1),
        "threads": torch.get_num_threads(),
        "versions": record.versions(),
        **prior.costs.as_dict(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", choices=list(MILLIONS))
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--envelope", action="store_true", help="no gradient through the vocoder (decision 17)")
    parser.add_argument("--covariance", action="store_true", help="one through the network too")
    parser.add_argument("--seconds", type=float, default=10.24)
    parser.add_argument("--count", action="store_true", help="operations of ace-step, at the length of its windows")
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    if given.count:
        print("GFLOP of a second: network {:.1f}, decoder {:.1f}, decoder with gradient {:.1f}".format(*count(48.0)))
        return
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    if given.model:
        rows.append(measure(given.model, given.checkpointing, given.seconds, given.envelope, given.covariance))
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    if given.report or given.model:
        print("| model | seconds | checkpointing | gradient through | GB above the weights | CPU seconds |")
        print("|---|---|---|---|---|---|")
        for row in rows:
            spent = row["cpu_seconds"] or "–"
            kept, peak = "yes" if row["checkpointing"] else "no", row["peak_above_weights_gb"]
            vocoder = not row.get("envelope") and row["model"] in ("audioldm2", "musicldm")
            through = [
                *(["network"] if row.get("covariance") else []),
                "VAE and vocoder" if vocoder else "VAE",
            ]
            words = ", ".join(through)
            print(f"| {row['model']} | {row['seconds_of_audio']} | {kept} | {words} | {peak} | {spent} |")


if __name__ == "__main__":
    main()
