"""Codec: the recording was compressed with a loss, as MP3, AAC or Opus."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem.chain import Chainable

_ENCODERS = {"mp3": "libmp3lame", "aac": "aac", "opus": "libopus"}
_CONTAINERS = {"mp3": "mp3", "aac": "mp4", "opus": "ogg"}  # those whose decoders take the encoder's delay off again
_LEAST = 4096  # samples: shorter audio is padded, for encoders that want a frame


@dataclass(frozen=True)
class Codec(Chainable):
    """``y = decode(encode(x))`` by the program ffmpeg. Shapes: x and y are (batch, channels, time).

    Each channel is coded by itself, at ``rate``. It has no gradient: solvers that differentiate are refused, ``enkg``
    asks for forward passes alone. Raises InputError where ffmpeg, or the encoder in it, is missing, and for
    a tensor that carries a gradient.
    """

    differentiable: ClassVar[bool] = False
    solver: ClassVar[str] = "enkg"

    codec: Annotated[Literal["mp3", "aac", "opus"], Doc("the codec")] = "mp3"
    bitrate: Annotated[int, Field(ge=6, le=320), Doc("kbit/s of each channel")] = 32
    container: Annotated[str, Field(pattern="^[a-z0-9]*$"), Doc("ffmpeg's name of a format; left out: the codec's")] = (
        ""
    )
    rate: Annotated[int | None, Field(ge=8000), Doc("Hz at which it was coded; left out: the recording's")] = None
    repeats: Annotated[int, Field(ge=0), Doc("times that finishing puts back what was coded")] = 2
    sample_rate: int = 16000

    def validate(self, seconds: float) -> None:
        """Raise InputError where ffmpeg is missing."""
        _ffmpeg()

    def fitted(self, measurement: Tensor) -> Codec:
        """Return the operator that codes at the recording's rate, whatever rate the prior has."""
        return self if self.rate else dataclasses.replace(self, rate=self.sample_rate)

    def forward(self, x: Tensor) -> Tensor:
        """``decode(encode(x))``; silence stays silence."""
        if x.requires_grad:
            raise InputError("a codec has no gradient: take a solver that needs none, such as enkg or sdedit")
        rows = [self._coded(row) for row in x.detach().flatten(0, 1).float().cpu().numpy()]
        return torch.from_numpy(np.stack(rows)).to(x).reshape(x.shape)

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """Put back what was coded, ``x <- x + (y - A(x))``, where that brings ``A(x)`` nearer to ``y``."""
        out, coded = estimate, self.forward(estimate)
        for _ in range(self.repeats):
            moved = out + measurement - coded
            again = self.forward(moved)
            nearer = (again - measurement).square().sum(-1) < (coded - measurement).square().sum(-1)
            out, coded = (torch.where(nearer[..., None], new, old) for new, old in ((moved, out), (again, coded)))
        return out

    def _coded(self, row: np.ndarray) -> np.ndarray:
        if not row.any():
            return row
        own, coded = str(self.sample_rate), str(self.rate or self.sample_rate)
        raw = np.pad(row, (0, max(0, _LEAST - len(row)))).astype("<f4").tobytes()
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "coded")
            plain, name = ["-f", "f32le", "-ac", "1", "-ar"], self.container or _CONTAINERS[self.codec]
            encoder = ["-c:a", _ENCODERS[self.codec], "-b:a", f"{self.bitrate}k", "-flags", "+bitexact", "-f", name]
            _run([*plain, own, "-i", "-", "-af", f"aresample={coded}", *encoder, file], raw)
            out = np.frombuffer(_run(["-i", file, "-ar", own, *plain[:-1], "-"], b""), dtype="<f4")
        return np.pad(out, (0, max(0, len(row) - len(out))))[: len(row)].copy()


def _ffmpeg() -> str:
    found = shutil.which("ffmpeg")
    if found is None:
        raise InputError("a codec needs the program ffmpeg, which is not here: install it")
    return found


def _run(words: list[str], given: bytes) -> bytes:
    command = [_ffmpeg(), "-v", "error", "-nostdin", "-y", "-threads", "1", *words]
    if "-" in words and given:
        command.remove("-nostdin")
    done = subprocess.run(command, input=given, capture_output=True)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise InputError(f"ffmpeg cannot code this: {said[0] if said else 'it does not say why'}")
    return done.stdout
