"""Measure a released model on the held-out test split and print Markdown tables.

python -m training.evaluate --work training/work
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.mel import LogMel
from diffmusic.metrics.lsd import lsd
from diffmusic.metrics.mel_l1 import mel_l1
from training.data import EXCERPT_SECONDS, MEL, split, to_float
from training.griffin_lim import griffin_lim
from training.release import FINAL, TARGET
from training.released import Parts

SIGMAS = (0.1, 0.3, 1.0, 3.0, 10.0)
OCTAVES = (62.5, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def excerpts(clips: np.ndarray, count: int) -> Tensor:
    """Every clip's first excerpts of the trained length, (count, time), spread over the split."""
    length = round(EXCERPT_SECONDS * MEL.sample_rate)
    every = np.stack([clip[start : start + length] for clip in clips for start in (0, length)])
    return to_float(every[np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)])


def batches(x: Tensor, compute: Callable[[Tensor], Tensor], size: int = 8) -> Tensor:
    """Apply a function a few items at a time."""
    return torch.cat([compute(part) for part in x.split(size)])


def octave_levels(audio: Tensor) -> Tensor:
    """Energy in dB of (batch, time) in each octave from 62.5 Hz to 8 kHz, (batch, 7)."""
    power = torch.fft.rfft(audio).abs().square()
    hertz = torch.fft.rfftfreq(audio.shape[-1], 1 / MEL.sample_rate)
    bands = [power[:, (hertz >= low) & (hertz < 2 * low)].sum(-1) for low in OCTAVES]
    return 10 * torch.stack(bands, dim=-1).clamp(min=1e-6).log10()


def fidelity(audio: Tensor, versions: dict[str, Tensor]) -> Iterator[list[str]]:
    """A row a version: means over the excerpts of LSD and mel L1."""
    for name, estimate in versions.items():
        pairs = [(a[None].numpy(), e[None].numpy()) for a, e in zip(audio, estimate, strict=True)]
        values = [[measure(a, e, MEL.sample_rate) for a, e in pairs] for measure in (lsd, mel_l1)]
        yield [name, *(f"{np.mean(v):.3f}" for v in values)]


def prior_rows(parts: Parts, latents: Tensor) -> Iterator[list[str]]:
    """A row a noise level: the UNet's error, and that of the best scalar, ``z / (1 + sigma^2)``."""
    for sigma in SIGMAS:
        step = parts.nearest_step(sigma)
        a, s = parts.levels(step)
        generator = torch.Generator().manual_seed(0)
        error = np.mean([parts.x0_error(part, step, generator) for part in latents.split(8)])
        yield [f"{s / a:.2f}", f"{error:.4f}", f"{s * s:.4f}"]


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("training/work"))
    parser.add_argument("--model", type=Path, default=TARGET)
    parser.add_argument("--excerpts", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    parts, log_mel = Parts.load(chosen.model), LogMel(MEL)
    audio = excerpts(split(chosen.work, "test"), chosen.excerpts)
    mel = log_mel(audio)
    latents = batches(mel, parts.encode)
    decoded = batches(latents, parts.decode)
    roundtrip = batches(decoded, parts.vocoder)

    sizes, about = [], json.loads((chosen.model / "model_index.json").read_text())["training"]
    for name in ("vae", "vocoder", "unet"):
        weights = chosen.model / name / "diffusion_pytorch_model.safetensors"
        count = sum(p.numel() for p in getattr(parts, name).parameters())
        stages = [about[stage] for stage in (name, FINAL.get(name)) if stage in about]
        trained = " + ".join(f"{s['minutes_done']:.0f} min ({s['steps']:,} steps of {s['batch']})" for s in stages)
        sizes.append([name, f"{count / 1e6:.2f} M", f"{weights.stat().st_size / 1e6:.2f} MB", trained])
    print(table(["part", "parameters", "file (fp16)", "training"], sizes))

    print(f"{len(audio)} test excerpts of {EXCERPT_SECONDS} s. VAE alone: log-mel L1 "
          f"{(decoded - mel).abs().mean():.3f} nats; latents' deviation {latents.std():.3f}.\n")  # fmt: skip
    versions = {
        "vocoder on true mels": batches(mel, parts.vocoder),
        "Griffin-Lim on true mels": batches(mel, lambda m: griffin_lim(m, MEL)),
        "VAE + vocoder": roundtrip,
    }
    print(table(["", "LSD", "mel L1 (nats)"], list(fidelity(audio, versions))))

    print(table(["sigma", "UNet x0 MSE", "best scalar"], list(prior_rows(parts, latents))))

    error = octave_levels(roundtrip) - octave_levels(audio)
    means = {"mean error, dB": error.mean(0), "mean absolute error, dB": error.abs().mean(0)}
    rows = [[name, *(f"{value:.1f}" for value in values)] for name, values in means.items()]
    print(table(["octave of the round trip from", *(f"{low:g} Hz" for low in OCTAVES)], rows))


if __name__ == "__main__":
    main()
