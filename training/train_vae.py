"""Train the VAE: log-mel (B, 1, frames, 64) to latents (B, 8, frames / 4, 16) and back.

python -m training.train_vae --work training/work --minutes 25
"""

from argparse import Namespace

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from diffmusic.audio.mel import LogMel
from training.data import MEL, crops, fixed_crops, split
from training.loop import Run, options
from training.losses import mel_loss

KL_WEIGHT = 1e-3  # on the mean over latent elements: enough to keep the latents smooth, far too little to blur
MEL_MEAN = -4.85  # of the corpus, in nats
FRAMES = 128


def build() -> AutoencoderKL:
    """1.6 M parameters, 4x down in both axes. The last bias starts at the mean of the data: it saves minutes."""
    model = AutoencoderKL(
        in_channels=1, out_channels=1, latent_channels=8, block_out_channels=(32, 64, 96), layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=16, mid_block_add_attention=False, sample_size=64,
    )  # fmt: skip
    torch.nn.init.constant_(model.decoder.conv_out.bias, MEL_MEAN)
    return model


def train(stage: str, model: AutoencoderKL, chosen: Namespace, rate: float) -> None:
    """Train whatever of the model is not frozen."""
    clips, log_mel = split(chosen.work, "train"), LogMel(MEL)
    run = Run(stage, model, chosen, rate, decay=0.998)
    held_out = log_mel(fixed_crops(split(chosen.work, "validation"), 8, 4 * FRAMES * MEL.hop))[:, None]

    @torch.no_grad()
    def validate() -> dict[str, float]:
        mel = held_out.to(chosen.device)
        latents = run.ema.encode(mel).latent_dist.mode()
        error = (run.ema.decode(latents).sample - mel).abs().mean()
        return {"mel_l1": error.item(), "latent_std": latents.std().item()}

    def loss_of(mel: Tensor) -> Tensor:
        with run.autocast():
            posterior = run.model.encode(mel).latent_dist
            estimate = run.model.decode(posterior.sample(generator)).sample
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        return mel_loss(estimate.float(), mel) + KL_WEIGHT * kl

    generator = run.generator if chosen.device == "cpu" else None
    for _ in run:
        audio = crops(clips, chosen.batch, FRAMES * MEL.hop, run.generator).to(chosen.device)
        run.update(loss_of(log_mel(audio)[:, None]))
        if run.due(seconds=90):
            run.record(validate())


def main() -> None:
    chosen = options(__doc__, minutes=25, batch=4)
    train("vae", build(), chosen, rate=1e-3)


if __name__ == "__main__":
    main()
