"""Small operators, one of each kind, for solvers that take some kinds and refuse others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffmusic.audio.sinc import sinc_resample
from diffmusic.audio.stft import STFT, spectrum
from diffmusic.testing.checks import RATE, SAMPLES


@dataclass(frozen=True)
class Gap:
    """A lost stretch in the middle of so many samples."""

    length: int = SAMPLES

    def damage(self, samples: int) -> list[tuple[int, int]]:
        return [(samples // 2, samples // 2 + samples // 20)]

    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        for start, stop in self.damage(x.shape[-1]):
            y[..., start:stop] = 0
        return y


@dataclass(frozen=True)
class Echo:
    """Linear operator with an adjoint, as long as the audio."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.5 * torch.nn.functional.pad(x, (100, 0))[..., : x.shape[-1]]

    def adjoint(self, y: Tensor) -> Tensor:
        return y + 0.5 * torch.nn.functional.pad(y, (0, 100))[..., 100:]


@dataclass(frozen=True)
class Half:
    """Operator that measures at half the sample rate."""

    sample_rate: int = RATE
    measured_rate: int = RATE // 2

    def clean_length(self, y: Tensor) -> int:
        return SAMPLES

    def forward(self, x: Tensor) -> Tensor:
        return sinc_resample(x, self.sample_rate, self.measured_rate)


@dataclass(frozen=True)
class Magnitude:
    """Operator that measures magnitudes without phases."""

    @property
    def stft(self) -> STFT:
        return STFT(256, 64, RATE)

    def clean_length(self, y: Tensor) -> int:
        return SAMPLES

    def forward(self, x: Tensor) -> Tensor:
        return spectrum(x, self.stft).abs()


@dataclass(frozen=True)
class Sum:
    """Mixture of two sources in one channel."""

    sources: int = 2

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        return y.expand(-1, self.sources, -1)


@dataclass(frozen=True)
class Flat:
    """Clipper, which says which samples it cut off."""

    level: float = 0.1

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(-self.level, self.level)

    def clipped(self, y: Tensor) -> tuple[Tensor, Tensor]:
        return y >= self.level, y <= -self.level


@dataclass(frozen=True)
class Hiss:
    """Music with nothing but noise in it."""

    noisy: bool = True

    def forward(self, x: Tensor) -> Tensor:
        return x * 1.0

    adjoint = forward


PROBES: dict[str, Any] = {"a gap": Gap(), "a gap in two seconds": Gap(2 * RATE),
                          "an echo": Echo(), "half the rate": Half(), "magnitudes": Magnitude(),
                          "a mixture": Sum(), "flat tops": Flat(), "noise": Hiss()}  # fmt: skip
