"""Pictures and sounds of what a released model does: round trips of held-out clips, and free samples.

    python -m training.look --work training/work

Writes ``look_roundtrip.png``, ``look_samples.png`` and the audio beside them.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
import torch
from matplotlib.figure import Figure
from torch import Tensor

from diffmusic.audio.mel import LogMel
from diffmusic.backbones.musicldm import MusicLDM
from diffmusic.models.load import load_model
from diffmusic.tasks.settings import RESTORE_GUIDANCE
from training.data import EXCERPT_SECONDS, MEL, fixed_crops, split
from training.release import TARGET
from training.sampling import sample


def draw(rows: list[list[tuple[str, Tensor]]], path: Path) -> None:
    """A grid of log-mels (frames, bands) with titles."""
    figure = Figure(figsize=(4.5 * len(rows[0]), 2.3 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for axes, (title, mel) in zip(grid.flat, (cell for row in rows for cell in row), strict=True):
        axes.imshow(mel.T.numpy(), origin="lower", aspect="auto", cmap="magma", vmin=-11, vmax=1)
        axes.set_title(title, fontsize=9)
    figure.savefig(path, dpi=90)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/work"))
    parser.add_argument("--model", type=Path, default=TARGET)
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    backbone = load_model(str(chosen.model))
    log_mel = LogMel(MEL)

    clips = split(chosen.work, "validation")
    audio = fixed_crops(clips, chosen.clips, round(EXCERPT_SECONDS * MEL.sample_rate))
    mel = log_mel(audio)
    assert isinstance(backbone, MusicLDM)
    latents = backbone.encode(audio[:, None])
    decoded = backbone.vae.decode(latents / backbone.vae.config.scaling_factor).sample[:, 0]
    sounds = {"original": audio, "vocoder": backbone.vocoder(mel), "roundtrip": backbone.vocoder(decoded)}
    images = {"original": mel, "VAE": decoded, "vocoder": log_mel(sounds["vocoder"]),
              "VAE + vocoder": log_mel(sounds["roundtrip"])}  # fmt: skip
    draw([[(name, image[i]) for name, image in images.items()] for i in range(len(audio))],
         chosen.work / "look_roundtrip.png")  # fmt: skip

    captions = ["", "", "solo piano", "a church organ", "violin and cello", "a fast, happy tune with drums and bass"]
    sounds["sample"] = sample(backbone, captions, audio.shape[-1], guidance=RESTORE_GUIDANCE, seed=chosen.seed)
    cells = [(text or "no caption", mel) for text, mel in zip(captions, log_mel(sounds["sample"]), strict=True)]
    draw([cells[:2], cells[2:4], cells[4:]], chosen.work / "look_samples.png")
    for name, batch in sounds.items():
        for i, sound in enumerate(batch):
            samples = np.clip(sound.numpy(), -1, 1)
            soundfile.write(chosen.work / f"look_{name}_{i}.wav", samples, MEL.sample_rate)


if __name__ == "__main__":
    main()
