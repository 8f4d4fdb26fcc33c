"""Train the VAE's decoder further, its encoder and so the latents left as they are.

    python -m training.train_decoder --work training/work --minutes 25

It can run beside the UNet, which needs the latents only.
"""

import torch

from training.loop import options
from training.train_vae import build, train


def main() -> None:
    chosen = options(__doc__, minutes=25, batch=4)
    model = build()
    model.load_state_dict(torch.load(chosen.work / "vae.pt", map_location="cpu", weights_only=False)["ema"])
    for part in (model.encoder, model.quant_conv):
        part.requires_grad_(False)
    train("decoder", model, chosen, rate=5e-4)


if __name__ == "__main__":
    main()
