"""Measure released models side by side on held-out music, recorded and rendered, and print Markdown tables.

    python -m training.compare --work training/work --models OLD NEW --count 48

Models are folders, or names that ``diffmusic --model`` takes. Every number is a mean over the same excerpts of 5.12 s,
with the same noise. Latents of two VAEs cannot be compared: denoised ones are decoded, and their log-mels are. Each
table is kept in WORK/comparison.json as soon as it is measured. Where the plugin diffmusic-musicnn is installed, the
Frechet distance of round trips in its embedding is a column.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffmusic.backbones.musicldm import MusicLDM
from diffmusic.errors import InputError
from diffmusic.metrics.embeddings import Embedding, load
from diffmusic.metrics.fad import frechet_distance
from diffmusic.metrics.lsd import lsd
from diffmusic.metrics.mel_l1 import mel_l1
from diffmusic.models.load import load_model
from diffmusic.plugins import registry
from diffmusic.solver.noise import generator, normal
from training.data import MEL
from training.held_out import excerpts, sound_files
from training.tables import Table, batches, embed, markdown
from training.train_unet import TIMESTEPS, schedule

Models = dict[str, MusicLDM]


def decode(model: MusicLDM, latents: Tensor) -> Tensor:
    """Return the log-mels of scaled latents, (batch, frames, bands)."""
    return batches(latents / model.vae.config.scaling_factor, lambda z: model.vae.decode(z).sample[:, 0])


def vocode(model: MusicLDM, mel: Tensor) -> Tensor:
    """Return the audio of log-mels, (batch, time)."""
    # The vocoder's calling convention drops the batch of a single item: keep it.
    return batches(mel, lambda each: model.vocoder(each).reshape(len(each), -1))


def denoise(model: MusicLDM, noisy: Tensor, sigma: float) -> Tensor:
    """Return the denoised latents of one pass, without a caption."""
    return batches(noisy, lambda z: model.denoise(z, sigma, model.embed(None)))


def round_trips(models: Models, sets: dict[str, Tensor]) -> list[Table]:
    """Return VAE and vocoder on music they have not heard: log-mel L1 and LSD, and Frechet distances."""
    rows, embeddings = [], judges()
    for name, audio in sets.items():
        truth = {column: embed(each, audio) for column, each in embeddings.items()}
        for label, model in models.items():
            latents = batches(audio[:, None], model.encode)
            decoded = decode(model, latents)
            sound = vocode(model, decoded)
            pairs = [(a[None].numpy(), e[None].numpy()) for a, e in zip(audio, sound, strict=True)]
            values = [np.mean([measure(a, e, MEL.sample_rate) for a, e in pairs]) for measure in (lsd, mel_l1)]
            vae = (decoded - model.log_mel(audio)).abs().mean()
            distances = [frechet_distance(truth[column], embed(each, sound)) for column, each in embeddings.items()]
            cells = [f"{vae:.3f}", *(f"{value:.3f}" for value in values), *(f"{each:.4f}" for each in distances)]
            rows.append([f"{name}, {label}", *cells, f"{latents.std():.2f}"])
    head = ["", "VAE mel L1", "round trip LSD", "its mel L1", *embeddings, "latent deviation"]
    count = len(next(iter(sets.values())))
    return [Table(f"Round trips of {count} excerpts a row", head, rows)]


def levels(models: Models, sets: dict[str, Tensor]) -> list[Table]:
    """Return the log-mel L1 of one pass of the network, decoded, at seven timesteps."""
    alphas = schedule().alphas_cumprod
    sigmas = [float(((1 - alphas[t]) / alphas[t]).sqrt()) for t in TIMESTEPS]
    rows = []
    for name, audio in sets.items():
        for label, model in models.items():
            mel, latents = model.log_mel(audio), batches(audio[:, None], model.encode)
            noise = normal(latents.shape[1:], [generator(0, k) for k in range(len(latents))], latents)
            estimates = [decode(model, denoise(model, latents + sigma * noise, sigma)) for sigma in sigmas]
            rows.append([f"{name}, {label}", *(f"{(each - mel).abs().mean():.3f}" for each in estimates)])
    count = len(next(iter(sets.values())))
    caption = f"Log-mel L1 of the denoised latent, decoded, {count} excerpts a row, without captions"
    return [Table(caption, ["t", *(f"{t}" for t in TIMESTEPS)], rows)]


def judges() -> dict[str, Embedding]:
    """Return the embeddings of Frechet distances by the names of their columns; musicnn's if installed."""
    here = registry().components("embedding")
    names = {"FAD (small CLAP)": "mini", "FAD (musicnn)": "musicnn-mtt"}
    return {column: load(name) for column, name in names.items() if name == "mini" or name in here}


TABLES: dict[str, Callable[[Models, dict[str, Tensor]], list[Table]]] = {"round trips": round_trips, "levels": levels}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("training/work"))
    parser.add_argument("--models", nargs="+", default=["mini"])
    parser.add_argument("--count", type=int, default=48, help="excerpts a set")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    models: Models = {}
    for source in chosen.models:
        model = load_model(source)
        if not isinstance(model, MusicLDM):
            raise InputError(f"{source}: expected a model like mini")
        models[Path(source).name] = model
    sets = {name: excerpts(paths, chosen.count) for name, paths in sound_files(chosen.work).items()}
    path = chosen.work / "comparison.json"
    for name in chosen.only:
        made = TABLES[name](models, sets)
        kept = json.loads(path.read_text()) if path.exists() else {}
        kept[name] = [table.as_dict() for table in made]
        path.write_text(json.dumps(kept, indent=1) + "\n")
        print("\n".join(markdown(table) for table in made), flush=True)


if __name__ == "__main__":
    main()
