"""Embeddings in which sets of recordings are compared, by name; each is loaded once in a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
import torch

from diffmusic.errors import InputError
from diffmusic.metrics.clap import Clap
from diffmusic.metrics.windows import windows
from diffmusic.models import hub
from diffmusic.models.folder import weights_hash
from diffmusic.models.load import SAFE, Access
from diffmusic.parameters import Doc
from diffmusic.plugins import registry
from diffmusic.prior.backbone import Backbone

MINI = "mini"
VAE = "vae"
HELP = "mini, vae, vae:MODEL, another one of diffmusic embeddings, or a folder or hub id of a ClapModel"


@runtime_checkable
class Embedding(Protocol):
    """Map from recordings to vectors, in which metrics of sets compare."""

    def audio(self, x: np.ndarray, sample_rate: int) -> np.ndarray:
        """Embed a recording.

        Args:
            x: Audio, (channels, time), full scale 1.
            sample_rate: Hz.

        Returns:
            A vector for each window, (windows, dimensions).
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Describe the embedding.

        Returns:
            Name, hash of the weights, rate in Hz and length of a window in seconds.
        """
        ...


@dataclass(frozen=True)
class Embedded:
    """Base class of set metrics: embeds recordings, and describes the embedding."""

    embedding: Annotated[str, Doc(HELP)] = MINI
    access: Access = SAFE

    def embed(self, audio: np.ndarray, sample_rate: int, /) -> np.ndarray:
        """Embed audio (channels, time): (windows, dimensions), float64, of half-overlapping windows of its mono sum."""
        return load(self.embedding, self.access).audio(audio, sample_rate).astype(np.float64)

    def describe(self) -> dict[str, Any]:
        """Describe the metric: name and hash of the embedding, its rate and its windows."""
        return load(self.embedding, self.access).describe()


@dataclass(frozen=True, eq=False)
class Latents:
    """Latents of a backbone's encoder, averaged over time: windows of its excerpt length, half overlapping."""

    backbone: Backbone
    name: str

    @torch.no_grad()
    def audio(self, x: np.ndarray, sample_rate: int) -> np.ndarray:
        """Embed audio: (windows, dimensions); the dimensions are those of a latent other than time."""
        rate = self.backbone.sample_rate
        length = round(self.backbone.excerpt_seconds * rate)
        rows = []
        for part in windows(x, sample_rate, rate, length):
            samples = torch.from_numpy(np.tile(part, -(-length // len(part)))[:length]).float()
            z = self.backbone.encode(samples.expand(1, self.backbone.channels, -1).to(self.backbone.device))
            rows.append(z.float().mean(dim=self._time(length)).flatten().cpu().numpy())
        return np.stack(rows)

    def _time(self, length: int) -> int:
        """Return the dimension of a latent that is time: the one that grows with the audio."""
        one, two = (self.backbone.latent_shape(n) for n in (length, 2 * length))
        return next(k for k in range(-len(one), 0) if one[k] != two[k])

    def describe(self) -> dict[str, Any]:
        """Describe the encoder; the hash is of its weights alone if they have a separate folder."""
        model = self.backbone.describe()
        vae = getattr(self.backbone, "folder", Path()) / "vae"
        return {
            "embedding": self.name,
            "sha256": weights_hash(vae, "") if vae.is_dir() else model.get("sha256"),
            "sample_rate": self.backbone.sample_rate,
            "window_seconds": self.backbone.excerpt_seconds,
        }


@cache
def load(name: str, access: Access = SAFE) -> Embedding:
    """Load an embedding by its name.

    Args:
        name: An installed one, with or without what follows a colon; or a folder or hub id of a ClapModel.
        access: Permissions for loading models.

    Raises:
        InputError: The name is none of these, or the model cannot be loaded.
    """
    offered = registry().components("embedding")
    if name in offered:
        return offered[name].load()("", access)  # type: ignore[no-any-return]
    head, _, argument = name.partition(":")
    if head in offered:
        return offered[head].load()(argument, access)  # type: ignore[no-any-return]
    return clap(name, access)


def mini(argument: str = "", access: Access = SAFE) -> Clap:
    """Embed with the small CLAP inside this package, 128 dimensions."""
    if argument:
        raise InputError(f"the embedding {MINI} takes nothing after a colon, not {argument!r}")
    return clap(MINI, access)


def vae(argument: str = "", access: Access = SAFE) -> Latents:
    """Embed in the latents of a backbone's encoder, averaged over time; ``argument`` is its name, mini without one."""
    return Latents(access.load(argument or "mini", "cpu", "auto"), f"{VAE}:{argument}" if argument else VAE)


@cache
def clap(name: str, access: Access = SAFE, speaks: bool = False) -> Clap:
    """Load a CLAP by its name. Raises InputError as ``load`` does.

    speaks: require its text tower, and check that it works.
    """
    if speaks:
        found = clap(name, access)
        found.check_text()
        return found
    if name == MINI:
        from diffmusic.backbones.musicldm import MINI as INSIDE

        return Clap.load(INSIDE, name)
    return Clap.load(module_folder(name, access), name, access.allow_pickle)


def module_folder(name: str, access: Access) -> Path:
    """Find the folder of a module of transformers, from its path or its id on the hub. Raises InputError."""
    folder = Path(name)
    if not folder.is_dir():
        if not hub.is_repository(name):
            raise InputError(f"{name!r} is neither a folder nor an id on the hub such as laion/clap-htsat-unfused")
        folder = hub.locate(name, access.offline, access.allow_pickle, alone=True)
    return folder
