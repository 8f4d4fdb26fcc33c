"""The ceiling: what VAE and vocoder make of music they have not heard, beside Griffin-Lim."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from diffmusic.backbones.musicldm import MusicLDM
from diffmusic.metrics.clap import Clap
from diffmusic.metrics.fad import frechet_distance
from diffmusic.metrics.lsd import lsd
from diffmusic.metrics.mel_l1 import mel_l1
from training.data import EXCERPT_SECONDS, MEL
from training.griffin_lim import griffin_lim
from training.tables import OCTAVES, Table, batches, embed, excerpts, octave_levels


def tables(backbone: MusicLDM, work: Path, count: int = 96) -> list[Table]:
    audio, clap = excerpts(work, "test", count), Clap.load(backbone.folder)
    mel = backbone.log_mel(audio)
    # The vocoder's calling convention drops the batch of a single item: keep it.
    vocode = lambda m: backbone.vocoder(m).reshape(len(m), -1)  # noqa: E731
    latents = batches(audio[:, None], backbone.encode)
    decoded = batches(latents / backbone.vae.config.scaling_factor, lambda z: backbone.vae.decode(z).sample[:, 0])
    versions = {
        "VAE + vocoder: the ceiling of whatever is restored with it": batches(decoded, vocode),
        "vocoder on true mels": batches(mel, vocode),
        "Griffin-Lim on true mels, 64 iterations": batches(mel, lambda m: griffin_lim(m, MEL)),
    }
    rows = [*_fidelity(audio, versions, clap), ["VAE alone", "", f"{(decoded - mel).abs().mean():.3f}", ""]]
    about = f"{len(audio)} test excerpts of {EXCERPT_SECONDS} s; the latents' deviation is {latents.std():.3f}"
    first = Table(about, ["", "LSD", "mel L1 (nats)", "FAD (small CLAP)"], rows)

    error = octave_levels(versions["VAE + vocoder: the ceiling of whatever is restored with it"]) - octave_levels(audio)
    means = {"mean error, dB": error.mean(0), "mean absolute error, dB": error.abs().mean(0)}
    rows = [[name, *(f"{value:.1f}" for value in values)] for name, values in means.items()]
    return [first, Table("Level of the round trip", ["octave from", *(f"{low:g} Hz" for low in OCTAVES)], rows)]


def _fidelity(audio: Tensor, versions: dict[str, Tensor], clap: Clap) -> Iterator[list[str]]:
    """A row a version: means over the excerpts of LSD and mel L1, and the FAD of all."""
    truth = embed(clap, audio)
    for name, estimate in versions.items():
        pairs = [(a[None].numpy(), e[None].numpy()) for a, e in zip(audio, estimate, strict=True)]
        values = [[measure(a, e, MEL.sample_rate) for a, e in pairs] for measure in (lsd, mel_l1)]
        yield [name, *(f"{np.mean(v):.3f}" for v in values), f"{frechet_distance(truth, embed(clap, estimate)):.4f}"]
