"""Train the VAE: log-mel (B, 1, frames, 64) to latents (B, 8, frames / 4, 16) and back.

    python -m training.train_vae --work training/work --minutes 25

Needs ``training.mels``.
"""

from argparse import Namespace

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from training.loop import Run, options
from training.losses import mel_loss
from training.mels import Mels, shares

KL_WEIGHT = 1e-3  # on the mean over latent elements: enough to keep the latents smooth, far too little to blur
MEL_MEAN = -4.85  # of the corpus, in nats
FRAMES = 256


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
    mels = Mels(chosen.work / "mels")
    run = Run(stage, model, chosen, rate, decay=0.998)
    sampler = mels.sampler(shares(mels.rows), FRAMES)
    held_out = {kind: mels.fixed(kind, "validation", 8, 2 * FRAMES)[0][:, None] for kind in ("recorded", "rendered")}

    @torch.no_grad()
    def validate() -> dict[str, float]:
        measures: dict[str, float] = {}
        for kind, mel in held_out.items():
            mel = mel.to(chosen.device)
            latents = run.ema.encode(mel).latent_dist.mode()
            error = (run.ema.decode(latents).sample - mel).abs().mean()
            measures |= {f"mel_l1_{kind}": error.item(), f"latent_std_{kind}": latents.std().item()}
        return measures

    def loss_of(mel: Tensor) -> Tensor:
        with run.autocast():
            posterior = run.model.encode(mel).latent_dist
            estimate = run.model.decode(posterior.sample(generator)).sample
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        return mel_loss(estimate.float(), mel) + KL_WEIGHT * kl

    generator = run.generator if chosen.device == "cpu" else None
    for _ in run:
        mel, _ = sampler.draw(chosen.batch, run.generator)
        run.update(loss_of(mel[:, None].to(chosen.device)))
        if run.due(seconds=90):
            run.record(validate())


def main() -> None:
    chosen = options(__doc__, minutes=25, batch=4)
    train("vae", build(), chosen, rate=1e-3)


if __name__ == "__main__":
    main()
