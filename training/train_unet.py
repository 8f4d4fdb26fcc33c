"""Train the UNet: the music prior over latents of 5.12 s, v-prediction, conditioned on the embedding of a caption.

    python -m training.train_unet --work training/work --minutes 240

Needs ``encode_latents`` and ``embed_captions``. One caption in seven is empty (classifier-free guidance).
"""

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from training.data import EXCERPT_SECONDS, MEL
from training.loop import Run, options

FRAMES = round(EXCERPT_SECONDS * MEL.frame_rate) // 4
TIMESTEPS = (50, 150, 300, 500, 700, 850, 950)
TEXT = 128  # size of the caption's embedding
UNCONDITIONAL = 0.15
SCHEDULE = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
WIDTHS = (64, 112, 144)


def build() -> UNet2DConditionModel:
    """MusicLDM's blocks, small, with attention only where the latents are down to 32 x 4: elsewhere it costs most.

    As in MusicLDM the caption's embedding goes in beside the time's, and each cross-attention, as wide as its block,
    attends to the block itself.
    """
    return UNet2DConditionModel(
        sample_size=(FRAMES, 16), in_channels=8, out_channels=8, block_out_channels=WIDTHS, layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=list(WIDTHS), attention_head_dim=4, norm_num_groups=16, use_linear_projection=True,
        class_embed_type="simple_projection", projection_class_embeddings_input_dim=TEXT, class_embeddings_concat=True,
    )  # fmt: skip


def schedule() -> DDIMScheduler:
    """The VP schedule of AudioLDM2 and MusicLDM."""
    return DDIMScheduler(**SCHEDULE, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False,
                         steps_offset=1)  # fmt: skip


def errors(
    unet: UNet2DConditionModel, z: Tensor, text: Tensor, t: Tensor, noise: Tensor, alphas: Tensor
) -> tuple[Tensor, Tensor]:
    """Squared errors of v and x0 per item, (batch,): ``x = a z + s n``, ``v = a n - s z``, ``x0 = a x - s v``."""
    a, s = (w[:, None, None, None] for w in (alphas[t].sqrt(), (1 - alphas[t]).sqrt()))
    x = a * z + s * noise
    v = unet(x, t, encoder_hidden_states=None, class_labels=text).sample.float()
    error = (v - (a * noise - s * z)).square().mean((1, 2, 3))
    return error, (1 - alphas[t]) * error


def main() -> None:
    chosen = options(__doc__, minutes=240, batch=4)
    train, held_out = (np.load(chosen.work / f"latents_{name}.npy", mmap_mode="r") for name in ("train", "validation"))
    captions, held_captions = (np.load(chosen.work / f"text_{name}.npy") for name in ("train", "validation"))
    empty = torch.from_numpy(np.load(chosen.work / "text_empty.npy")).float()
    run = Run("unet", build(), chosen, rate=5e-4, decay=0.999)
    alphas = schedule().alphas_cumprod.to(chosen.device)

    rows = np.linspace(0, len(held_out) - 1, min(16, len(held_out))).round().astype(int)
    clean = torch.from_numpy(held_out[rows, :, 64 : 64 + FRAMES].astype(np.float32)).to(chosen.device)
    said = torch.from_numpy(held_captions[rows, 0]).float().to(chosen.device)
    fixed = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1)).to(chosen.device)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        measures = {}
        for name, text in (("x0_mse", empty.to(chosen.device).expand_as(said)), ("captioned", said)):
            for level in TIMESTEPS:
                t = torch.full((len(clean),), level, device=chosen.device)
                measures[f"{name}_{level}"] = errors(run.ema, clean, text, t, fixed, alphas)[1].mean().item()
        return measures

    def batch() -> tuple[Tensor, ...]:
        generator = run.generator
        rows = torch.randint(len(train), (chosen.batch,), generator=generator).tolist()
        starts = torch.randint(train.shape[2] - FRAMES + 1, (chosen.batch,), generator=generator).tolist()
        z = np.stack([train[row, :, start : start + FRAMES] for row, start in zip(rows, starts, strict=True)])
        choices = torch.randint(captions.shape[1], (chosen.batch,), generator=generator).tolist()
        text = torch.from_numpy(captions[rows, choices]).float()
        dropped = torch.rand(chosen.batch, 1, generator=generator) < UNCONDITIONAL
        # One level from each equal slice of the schedule: the same law, less spread from batch to batch.
        u = (torch.rand((), generator=generator) + torch.arange(chosen.batch) / chosen.batch) % 1
        noise = torch.randn(z.shape, generator=generator)
        parts = (torch.from_numpy(z).float(), torch.where(dropped, empty, text), (1000 * u).long(), noise)
        return tuple(part.to(chosen.device) for part in parts)

    for _ in run:
        z, text, t, noise = batch()
        with run.autocast():
            error, _ = errors(run.model, z, text, t, noise, alphas)
        snr = alphas[t] / (1 - alphas[t])
        # min-SNR-5 (Hang et al. 2023) for v: the easy, nearly clean levels do not take over the gradient.
        run.update((error * snr.clamp(max=5) / (snr + 1)).mean())
        if run.due(seconds=180):
            run.record(validate())


if __name__ == "__main__":
    main()
