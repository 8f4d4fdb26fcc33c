"""musicnn's taggers: probabilities of tags, and embeddings in which sets of recordings are compared."""

from __future__ import annotations

import ast
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from librosa.filters import mel as slaney_filters

from diffmusic.audio.resample import resample
from diffmusic.audio.stft import STFT, spectrum
from diffmusic.errors import InputError
from diffmusic.models.load import SAFE, Access
from diffmusic_musicnn import bundle
from diffmusic_musicnn.network import MusiCNN

Songs = Literal["mtt", "msd"]
"""What a tagger learned from: MagnaTagATune, whose tags name instruments, or the Million Song Dataset, whose tags name
genres, decades and moods."""

RATE, N_FFT, HOP, BANDS, FRAMES, SECONDS = 16000, 512, 256, 96, 187, 3.0
BATCH = 64
INSTALL = "pip install --no-deps musicnn==0.1.0"


@dataclass(frozen=True, eq=False)
class Tagger:
    """A tagger, the names of its 50 tags, what it learned from, and the hash of its weights.

    It hears patches of 187 frames, 3 s, half overlapping, of the log-mel ``log10(1 + 10^4 M)``; ``M`` the mel power
    spectrogram of the mono sum at 16 kHz: 96 bands, Hann window of 512, hop 256. The package musicnn stores ``M`` in
    half precision, where the product overflows for loud music; here all is float32. Shorter audio is repeated.
    """

    model: MusiCNN
    tags: tuple[str, ...]
    songs: Songs
    sha256: str

    def audio(self, x: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return the penultimate layer, (patches, 200), of audio (channels, time)."""
        return self.heard(x, sample_rate)[1]

    def probabilities(self, x: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return the probability of every tag, (50,), float64: the mean over the patches of audio (channels, time)."""
        logits = torch.from_numpy(self.heard(x, sample_rate)[0]).double()
        return np.asarray(logits.sigmoid().mean(0))

    @torch.no_grad()
    def heard(self, x: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        """Return logits, (patches, 50), and the penultimate layer, (patches, 200), of audio (channels, time)."""
        spectrogram = log_mel(resample(x.mean(0, keepdims=True), sample_rate, RATE)[0])
        last = len(spectrogram) - FRAMES
        starts = sorted({*range(0, last + 1, FRAMES // 2), last})
        patches = torch.from_numpy(np.stack([spectrogram[start : start + FRAMES] for start in starts]))
        logits, penultimate = zip(*(self.model(part) for part in patches.split(BATCH)), strict=True)
        return torch.cat(logits).numpy(), torch.cat(penultimate).numpy()

    def named(self, caption: str) -> tuple[str, ...]:
        """Return the tags that a caption names, whole words in any case, singular or plural; of two that overlap the
        longer: "no vocals" does not name "vocals"."""
        found, rest = [], caption.lower()
        for tag in sorted(self.tags, key=len, reverse=True):
            # Decades have no singular.
            pattern = re.escape(tag.lower()) if tag[0].isdigit() else f"{re.escape(tag.lower().removesuffix('s'))}s?"
            pattern = rf"\b{pattern}\b"
            if re.search(pattern, rest):
                found.append(tag)
                rest = re.sub(pattern, " ", rest)
        return tuple(tag for tag in self.tags if tag in found)

    def describe(self) -> dict[str, Any]:
        """Return its name, the hash of its weights, its rate in Hz and the length of a patch in seconds."""
        name = f"musicnn-{self.songs}"
        return {"embedding": name, "sha256": self.sha256, "sample_rate": RATE, "window_seconds": SECONDS}


def log_mel(mono: np.ndarray) -> np.ndarray:
    """Return the spectrogram that musicnn hears, (frames, 96), float32, of mono audio at 16 kHz, (time,).

    There are at least as many frames as a patch has: shorter audio is repeated.
    """
    short = (FRAMES - 1) * HOP
    repeated = np.tile(mono, -(-short // max(1, len(mono))))[:short] if len(mono) < short else mono
    bins = spectrum(torch.from_numpy(np.ascontiguousarray(repeated, np.float32)), STFT(N_FFT, HOP, RATE))
    bands = torch.from_numpy(slaney_filters(sr=RATE, n_fft=N_FFT, n_mels=BANDS))
    return np.asarray((1 + 10000 * bins.abs().square() @ bands.T).log10())


@cache
def load(songs: Songs) -> Tagger:
    """Load a tagger from the files of the installed package musicnn, which is not imported.

    Raises:
        InputError: If the package is missing, or not the one that is meant.
    """
    try:
        installed = metadata.distribution("musicnn")
    except metadata.PackageNotFoundError:
        raise InputError(f"the package musicnn, whose weights are needed, is not installed: {INSTALL}") from None
    folder = Path(str(installed.locate_file("musicnn")))
    checkpoint = folder / f"{songs.upper()}_musicnn"
    data = checkpoint / ".data-00000-of-00001"
    try:
        model = MusiCNN.of(bundle.read(checkpoint / ".index", data))
        tags = _labels(folder / "configuration.py", f"{songs.upper()}_LABELS")
        return Tagger(model, tags, songs, hashlib.sha256(data.read_bytes()).hexdigest())
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"musicnn {installed.version} in {folder} cannot be read ({reason}): {INSTALL}") from None


def _labels(path: Path, name: str) -> tuple[str, ...]:
    """A list of strings that a module assigns to a name; the module is not run."""
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Assign) and any(getattr(each, "id", "") == name for each in statement.targets):
            return tuple(ast.literal_eval(statement.value))
    raise ValueError(f"{path} has no {name}")


def musicnn_mtt(argument: str = "", access: Access = SAFE) -> Tagger:
    """Embed in the penultimate layer of musicnn's tagger of MagnaTagATune."""
    return _embedding("mtt", argument)


def musicnn_msd(argument: str = "", access: Access = SAFE) -> Tagger:
    """Embed in the penultimate layer of musicnn's tagger of the Million Song Dataset."""
    return _embedding("msd", argument)


def _embedding(songs: Songs, argument: str) -> Tagger:
    if argument:
        raise InputError(f"the embedding musicnn-{songs} takes nothing after a colon, not {argument!r}")
    return load(songs)
