"""Train the UNet: the unconditional music prior over latents of 5.12 s, v-prediction.

python -m training.train_unet --work training/work --minutes 60
"""

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from training.data import EXCERPT_SECONDS, MEL
from training.loop import Run, options

FRAMES = round(EXCERPT_SECONDS * MEL.frame_rate) // 4
TIMESTEPS = (50, 150, 300, 500, 700, 850, 950)
SCHEDULE = {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
WIDTHS = (64, 112, 144)


def build() -> UNet2DConditionModel:
    """MusicLDM's blocks, small, with attention only where the latents are down to 32 x 4: elsewhere it costs most.

    Each cross-attention is as wide as its block: without a prompt it attends to the block itself.
    """
    return UNet2DConditionModel(
        sample_size=(FRAMES, 16), in_channels=8, out_channels=8, block_out_channels=WIDTHS, layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=list(WIDTHS), attention_head_dim=4, norm_num_groups=16, use_linear_projection=True,
    )  # fmt: skip


def schedule() -> DDIMScheduler:
    """The VP schedule of AudioLDM2 and MusicLDM."""
    return DDIMScheduler(**SCHEDULE, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False,
                         steps_offset=1)  # fmt: skip


def errors(unet: UNet2DConditionModel, z: Tensor, t: Tensor, noise: Tensor, alphas: Tensor) -> tuple[Tensor, Tensor]:
    """Squared errors of v and x0 per item, (batch,): ``x = a z + s n``, ``v = a n - s z``, ``x0 = a x - s v``."""
    a, s = (w[:, None, None, None] for w in (alphas[t].sqrt(), (1 - alphas[t]).sqrt()))
    x = a * z + s * noise
    v = unet(x, t, encoder_hidden_states=None).sample.float()
    error = (v - (a * noise - s * z)).square().mean((1, 2, 3))
    return error, (1 - alphas[t]) * error


def main() -> None:
    chosen = options(__doc__, minutes=60, batch=4)
    train, held_out = (np.load(chosen.work / f"latents_{name}.npy", mmap_mode="r") for name in ("train", "validation"))
    run = Run("unet", build(), chosen, rate=5e-4, decay=0.999)
    alphas = schedule().alphas_cumprod.to(chosen.device)

    rows = np.linspace(0, len(held_out) - 1, min(8, len(held_out))).round().astype(int)
    clean = torch.from_numpy(held_out[rows, :, 64 : 64 + FRAMES].astype(np.float32)).to(chosen.device)
    fixed = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1)).to(chosen.device)

    @torch.no_grad()
    def validate() -> dict[str, float]:
        measures = {}
        for level in TIMESTEPS:
            t = torch.full((len(clean),), level, device=chosen.device)
            measures[f"x0_mse_{level}"] = errors(run.ema, clean, t, fixed, alphas)[1].mean().item()
        return measures

    def batch() -> tuple[Tensor, ...]:
        generator = run.generator
        rows = torch.randint(len(train), (chosen.batch,), generator=generator).tolist()
        starts = torch.randint(train.shape[2] - FRAMES + 1, (chosen.batch,), generator=generator).tolist()
        z = np.stack([train[row, :, start : start + FRAMES] for row, start in zip(rows, starts, strict=True)])
        # One level from each equal slice of the schedule: the same law, less spread from batch to batch.
        u = (torch.rand((), generator=generator) + torch.arange(chosen.batch) / chosen.batch) % 1
        noise = torch.randn(z.shape, generator=generator)
        parts = (torch.from_numpy(z).float(), (1000 * u).long(), noise)
        return tuple(part.to(chosen.device) for part in parts)

    for _ in run:
        z, t, noise = batch()
        with run.autocast():
            error, _ = errors(run.model, z, t, noise, alphas)
        snr = alphas[t] / (1 - alphas[t])
        # min-SNR-5 (Hang et al. 2023) for v: the easy, nearly clean levels do not take over the gradient.
        run.update((error * snr.clamp(max=5) / (snr + 1)).mean())
        if run.due(seconds=180):
            run.record(validate())


if __name__ == "__main__":
    main()
