"""Mixing: several sources were summed into one recording."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor

from diffmusic.audio import files
from diffmusic.audio.resample import resample
from diffmusic.audio.stft import inverse, spectrum, windows_of
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem.chain import Chainable

_WINDOW = 0.128  # seconds; long enough to tell the partials of a low note apart
_SILENCE = 1e-8  # of full scale, far below the content of any file


@dataclass(frozen=True)
class Mixing(Chainable):
    """Weighted sum of sources, ``y = sum_i w_i x_i``, which are the channels of ``x``.

    All sources are unknown and solved jointly, each with its own prompt, or some are known: their files are subtracted
    from the recording first. Shapes: x is (batch, sources, time), y is (batch, 1, time); every channel of a recording
    is a separate mixture.
    """

    count: Annotated[int, Field(ge=2, le=16), Doc("sources in the mixture, the known ones included")] = 2
    known: Annotated[tuple[Path, ...], Doc("a source that is known, as it sounds in the mixture; may be repeated")] = ()
    weight: Annotated[tuple[float, ...], Doc("weight of an unknown source; repeat it for each, or leave it at 1")] = ()
    shares: Annotated[
        Literal["sum", "energy"], Doc("what of finished sources adds up to the mixture: they themselves, or energies")
    ] = "sum"
    sample_rate: int = 16000

    def __post_init__(self) -> None:
        if self.sources < 1:
            raise ValueError(f"{len(self.known)} of {self.count} sources are known: nothing is left to find")
        if self.weight and len(self.weight) != self.sources:
            raise ValueError(f"{len(self.weight)} weights for {self.sources} unknown sources")
        if 0 in self.weight:
            raise ValueError("a source of weight 0 is not in the mixture")

    @property
    def sources(self) -> int:
        """Number of unknown sources."""
        return self.count - len(self.known)

    def _weights(self, like: Tensor) -> Tensor:
        weights = self.weight or (1.0,) * self.sources
        return torch.tensor(weights, dtype=like.dtype, device=like.device)[:, None]

    def measurement(self, audio: Tensor) -> Tensor:
        """Subtract the known sources from the recording, (1, channels, time).

        Raises InputError for a known source of another length or other channels.
        """
        for path in self.known:
            source = files.read(path)
            samples = resample(source.samples, source.sample_rate, self.sample_rate)
            if samples.shape != tuple(audio.shape[1:]):
                raise InputError(
                    f"{path} has {samples.shape[0]} channels of {samples.shape[1] / self.sample_rate:.3f} s, the "
                    f"mixture {audio.shape[1]} of {audio.shape[2] / self.sample_rate:.3f} s"
                )
            audio = audio - torch.from_numpy(samples).to(audio)
        return audio

    def power(self, y: Tensor) -> Tensor:
        """Compute ``mean y^2 / sum w^2``, as if all sources were equally loud and uncorrelated; (batch, 1, 1)."""
        return y.square().flatten(1).mean(1).reshape(-1, 1, 1) / self._weights(y).square().sum()

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``sum_i w_i x_i``."""
        if x.shape[1] != self.sources:
            raise ValueError(f"{x.shape[1]} sources where {self.sources} are mixed")
        return (self._weights(x) * x).sum(1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        """Compute ``w_i y`` for every source."""
        return self._weights(y) * y

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """Share out the mixture by the estimates' magnitudes, ``w_i X_i = |w_i E_i| / sum_j |w_j E_j| Y`` in the STFT.

        E_i, Y: of the estimates and of the mixture. The shares sum to ``y``, and have its phases, whereas those of an
        estimate are invented by its vocoder. The exponent of the magnitudes is 1 and not Wiener's 2, because they are
        estimates too.

        Where sources that know nothing of each other sound together, magnitudes add up to more than the mixture's, and
        such shares are too quiet, by 3 dB where two are equally loud. ``shares`` energy has the levels right, and then
        it is energies that add up: ``w_i X_i = |w_i E_i| / sqrt(sum_j |w_j E_j|^2) Y``.

        Source: A. Liutkus and R. Badeau, "Generalized Wiener filtering with fractional power spectrograms", ICASSP
        2015.
        """
        settings = windows_of(_WINDOW, self.sample_rate)
        shares = torch.empty_like(estimate)
        for number, (parts, mixture) in enumerate(zip(estimate, measurement, strict=True)):
            whole = spectrum(mixture[0], settings)
            levels = torch.stack([spectrum(part, settings).abs() for part in self._weights(parts) * parts])
            levels += _SILENCE  # where all estimates are silent, each has the same share
            total = levels.sum(0) if self.shares == "sum" else levels.square().sum(0).sqrt()
            shares[number] = inverse(levels / total * whole, settings, mixture.shape[-1])
        return shares / self._weights(shares)
