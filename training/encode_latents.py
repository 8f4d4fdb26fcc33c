"""Encode every clip once with the trained VAE, so that the UNet never waits for it.

    python -m training.encode_latents --work training/work

Writes ``latents_{split}.npy``, (clips, 8, frames / 4, 16) float16, scaled to unit deviation, and the scale.
"""

import json
import os

import numpy as np
import torch

from diffmusic.audio.mel import LogMel
from training.data import MEL, split, to_float
from training.loop import options
from training.train_vae import build


@torch.inference_mode()
def main() -> None:
    chosen = options(__doc__, minutes=0, batch=8)
    vae = build().to(chosen.device).eval()
    vae.load_state_dict(torch.load(chosen.work / "vae.pt", map_location="cpu", weights_only=False)["ema"])
    log_mel, scale = LogMel(MEL), None
    for name in ("train", "validation", "test"):
        parts = []
        for batch in np.array_split(clips := split(chosen.work, name), max(1, len(clips) // chosen.batch)):
            mel = log_mel(to_float(batch).to(chosen.device))[:, None]
            parts.append(vae.encode(mel).latent_dist.mode().cpu())
        latents = torch.cat(parts)
        if scale is None:  # of the training split, for all
            scale = 1 / latents.std().item()
            (chosen.work / "latents.json").write_text(json.dumps({"scaling_factor": scale}) + "\n")
        temporary = chosen.work / "latents.tmp.npy"
        np.save(temporary, (scale * latents).half().numpy())
        os.replace(temporary, chosen.work / f"latents_{name}.npy")
        print(f"[latents] {name}: {tuple(latents.shape)}, scale {scale:.4f}", flush=True)


if __name__ == "__main__":
    main()
