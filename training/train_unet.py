"""Train the UNet: the music prior over latents of 5.12 s, v-prediction, conditioned on the embedding of a caption.

    python -m training.train_unet --work training/work --minutes 1440

    python -m training.train_unet --packed FOLDER --minutes 11 --compile

Needs ``training.build_mels``, and the VAE of the package. It begins with the package's weights unless ``--afresh``.
``torchrun --nproc-per-node 2 -m training.train_unet ...`` trains in two processes. A folder of ``training.pack`` holds
all that a machine with torch, numpy and safetensors lacks; there the average is written every two minutes, in files
that are small enough to be copied back, and no checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch._inductor.config
from torch import Tensor

from training import packed, parallel
from training.latents import LatentPool, encoder, frozen_vae
from training.loop import Run, options
from training.mels import EXCERPT_FRAMES, Mels, shares

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, UNet2DConditionModel

FRAMES = EXCERPT_FRAMES // 4
TIMESTEPS = (50, 150, 300, 500, 700, 850, 950)
FEW_TIMESTEPS = (300, 700, 850)  # for the other averages
TEXT = 128  # size of the caption's embedding
UNCONDITIONAL = {"recorded": 0.5, "rendered": 0.15}  # how often the caption is left out; a style says little
SCHEDULE = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
WIDTHS = (64, 96, 128, 144)
DECAY, MORE_DECAYS = 0.9995, (0.999, 0.9998)
POOL, FIRST, EVERY = 8192, 1024, 8  # excerpts kept at most, and at the start; a batch of new ones every so many steps
HELD_OUT = 24  # excerpts a kind
VALIDATE_SECONDS, RELEASE_SECONDS = 1800, 120


def build() -> UNet2DConditionModel:
    """MusicLDM's blocks, small, on four levels, with attention on all but the finest, where it costs most.

    As in MusicLDM the caption's embedding goes in beside the time's, and each cross-attention, as wide as its block,
    attends to the block itself.
    """
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=(FRAMES, 16), in_channels=8, out_channels=8, block_out_channels=WIDTHS, layers_per_block=1,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * 3),
        up_block_types=(*("CrossAttnUpBlock2D",) * 3, "UpBlock2D"),
        cross_attention_dim=list(WIDTHS), attention_head_dim=4, norm_num_groups=16, use_linear_projection=True,
        class_embed_type="simple_projection", projection_class_embeddings_input_dim=TEXT, class_embeddings_concat=True,
    )  # fmt: skip


def schedule() -> DDIMScheduler:
    """The VP schedule of AudioLDM2 and MusicLDM."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(**SCHEDULE, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False,
                         steps_offset=1)  # fmt: skip


def errors(
    unet: UNet2DConditionModel, z: Tensor, text: Tensor, t: Tensor, noise: Tensor, alphas: Tensor
) -> tuple[Tensor, Tensor]:
    """Squared errors of v and x0 per item, (batch,): ``x = a z + s n``, ``v = a n - s z``, ``x0 = a x - s v``."""
    a, s = (w[:, None, None, None] for w in (alphas[t].sqrt(), (1 - alphas[t]).sqrt()))
    x = (a * z + s * noise).contiguous(memory_format=torch.channels_last)
    v = unet(x, t, encoder_hidden_states=None, class_labels=text).sample.float()
    error = (v - (a * noise - s * z)).square().mean((1, 2, 3))
    return error, (1 - alphas[t]) * error


def compiled(model: UNet2DConditionModel, device: str) -> UNet2DConditionModel:
    """The model compiled; its parameters stay those of `model`."""
    if device == "cpu":
        # Attention by matrix products: the CPU's fused kernel, which the pattern matcher would put back, is slower
        # forwards and backwards for heads this narrow.
        from diffusers.models.attention_processor import AttnProcessor

        model.set_attn_processor(AttnProcessor())
        torch._inductor.config.pattern_matcher = False
    return torch.compile(model)


def weight(t: Tensor, alphas: Tensor, kind: str) -> Tensor:
    """Weight of the squared error of v: 1, or min-SNR-5 (Hang et al. 2023), ``min(SNR, 5) / (SNR + 1)``.

    The latter keeps the easy, nearly clean levels from taking over the gradient.
    """
    snr = alphas[t] / (1 - alphas[t])
    return snr.clamp(max=5) / (snr + 1) if kind == "min-snr" else torch.ones_like(snr)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--package", type=Path, help="folder of the VAE and of the UNet to begin with; default: mini")
    parser.add_argument("--packed", type=Path, help="folder of training.pack, instead of --package and WORK/mels")
    parser.add_argument("--afresh", action="store_true", help="begin with random weights")
    parser.add_argument("--rate", type=float, default=2e-4, help="1e-3 for batches of 256")
    parser.add_argument("--weighting", choices=("min-snr", "v"), default="min-snr")
    parser.add_argument("--compile", action="store_true", help="a third faster on a CPU, after minutes of compiling")
    parser.add_argument("--rendered", type=float, default=0.5, help="share of rendered music among the excerpts")
    chosen = options(__doc__, minutes=1440, batch=16, stage="unet", parser=parser)
    device = chosen.device
    if chosen.packed:
        packed.install(chosen.packed)
        chosen.work.mkdir(parents=True, exist_ok=True)
    package = chosen.packed / "model" if chosen.packed else chosen.package or packed.mini()
    mels = Mels(packed.unpack(chosen.packed, chosen.work) if chosen.packed else chosen.work / "mels")
    encode = encoder(frozen_vae(package).to(device))
    model = build().to(memory_format=torch.channels_last)
    if not chosen.afresh:
        model.load_state_dict(type(model).from_pretrained(package / "unet", torch_dtype=torch.float32).state_dict())
    network = compiled(model, device) if chosen.compile else model
    run = Run(chosen.stage, model, chosen, chosen.rate, DECAY, more_decays=MORE_DECAYS, trained=not chosen.afresh)
    run.checkpoints = not chosen.packed
    alphas = schedule().alphas_cumprod.to(device)
    empty = mels.empty.to(device)

    held_out = {}
    for kind in ("recorded", "rendered"):
        mel, _ = mels.fixed(kind, "validation", HELD_OUT, EXCERPT_FRAMES)
        z = torch.cat([encode(part.to(device)) for part in mel.split(8)])
        held_out[kind] = z, torch.randn(z.shape, generator=torch.Generator().manual_seed(1)).to(device)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        measures = {}
        for decay, ema in run.emas.items():
            for kind, (z, noise) in held_out.items():
                for level in TIMESTEPS if decay == DECAY else FEW_TIMESTEPS:
                    t = torch.full((len(z),), level, device=device)
                    with run.autocast():
                        _, error = errors(ema, z, empty.expand(len(z), -1), t, noise, alphas)
                    name = f"{kind}_{level}"
                    measures[name if decay == DECAY else f"{name}_ema{decay}"] = error.mean().item()
        return measures

    drawn = shares(mels.rows, chosen.rendered, **({"least_hours": 0.0} if chosen.packed else {}))
    run.say(" ".join(f"{name} {share:.3f}" for name, share in drawn.items()))
    on_cpu = device == "cpu"
    pool = LatentPool(mels.sampler(drawn, EXCERPT_FRAMES), encode, POOL if on_cpu else 4 * POOL, device)
    for _ in range(0, FIRST if on_cpu else POOL, chosen.batch):
        pool.renew(chosen.batch, run.generator)
    count = torch.tensor([row["captions"] for row in mels.rows])
    left_out = torch.tensor([UNCONDITIONAL[row["kind"]] if row["captions"] else 1.0 for row in mels.rows])

    def batch() -> tuple[Tensor, ...]:
        generator = run.generator
        z, sources = pool.draw(chosen.batch, generator)
        choices = (torch.rand(chosen.batch, generator=generator) * count[sources]).long()
        text = mels.text[sources, choices].float().to(device)
        dropped = torch.rand(chosen.batch, generator=generator) < left_out[sources]
        # One level from each equal slice of the schedule: the same law, less spread from batch to batch.
        u = (torch.rand((), generator=generator) + torch.arange(chosen.batch) / chosen.batch) % 1
        noise = torch.randn(z.shape, generator=generator) if on_cpu else torch.randn_like(z)
        return z, torch.where(dropped[:, None].to(device), empty, text), (1000 * u).long().to(device), noise

    def release() -> None:
        if not run.rank:
            folder = chosen.work / "model" / "unet"
            copy.deepcopy(run.ema).half().save_pretrained(folder, max_shard_size="12MB")
            done = {"step": run.step, "elapsed": run.elapsed, "about": run.about()}
            (chosen.work / "model" / "training.json").write_text(json.dumps(done) + "\n")

    released = time.monotonic()
    for step in run:
        if step % EVERY == 0:
            pool.renew(chosen.batch, run.generator)
        z, text, t, noise = batch()
        with run.autocast():
            error, _ = errors(network, z, text, t, noise, alphas)
        run.update((error * weight(t, alphas, chosen.weighting)).mean())
        if run.due(seconds=VALIDATE_SECONDS):
            run.record(validate())
        if chosen.packed and time.monotonic() - released > RELEASE_SECONDS:
            released = time.monotonic()
            release()
    if chosen.packed:
        release()
        run.record(validate())
    parallel.finish()


if __name__ == "__main__":
    main()
