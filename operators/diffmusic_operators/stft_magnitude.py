"""STFT magnitude: the phases of the spectrogram are lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.audio.griffin_lim import griffin_lim
from diffmusic.audio.sinc import sinc_resample
from diffmusic.audio.stft import STFT, spectrum
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem.chain import Chainable


@dataclass(frozen=True)
class StftMagnitude(Chainable):
    """Magnitudes ``y = |STFT(x)|`` with a Hann window, frames centred on multiples of the hop, as in ``librosa.stft``.

    INPUT is a recording, whose phase is dropped, or a NumPy file of magnitudes. Shapes: x is (batch, channels, time) at
    ``sample_rate``, y is (batch, channels, frames, bins) of the audio at ``measured_rate``.
    """

    n_fft: Annotated[int, Field(ge=16, le=65536, multiple_of=2), Doc("length of window and FFT, samples")] = 1024
    hop: Annotated[int, Field(ge=1), Doc("samples from one frame to the next")] = 160
    rate: Annotated[int, Field(ge=1000), Doc("rate of the audio that a NumPy file of magnitudes was made of, Hz")] = (
        16000
    )
    iterations: Annotated[
        int, Field(ge=0), Doc("Griffin-Lim iterations on the exact magnitude, from the estimate's phase")
    ] = 64
    sample_rate: int = 16000
    measured_rate: int = 16000

    def __post_init__(self) -> None:
        if self.hop > self.n_fft // 2:
            raise ValueError(f"hop {self.hop} leaves samples unseen: at most half of n_fft, {self.n_fft // 2}")

    @property
    def stft(self) -> STFT:
        """STFT settings, for solvers that work on the spectrogram."""
        return STFT(self.n_fft, self.hop, self.measured_rate)

    def measurement(self, audio: Tensor) -> Tensor:
        """Return magnitudes as they are, or those of a recording (batch, channels, time).

        Raises InputError for magnitudes that were not made with this ``n_fft``, or are negative.
        """
        if audio.ndim == 3:
            return self.forward(audio)
        if audio.shape[-1] != self.n_fft // 2 + 1:
            raise InputError(
                f"the magnitudes have {audio.shape[-1]} bins, n_fft {self.n_fft} has {self.n_fft // 2 + 1}"
            )
        if bool((audio < 0).any()):
            raise InputError("the magnitudes are negative in places: decibels must be made amplitudes first")
        return audio

    def clean_length(self, y: Tensor) -> int:
        """Return the samples that the frames certainly cover."""
        return max(1, (y.shape[-2] - 1) * self.hop)

    def power(self, y: Tensor) -> Tensor:
        """Compute ``mean_t sum_k |S|^2 / (n_fft sum w^2)`` over all ``n_fft`` bins (Parseval), (batch, 1, 1)."""
        both = y.square()
        both = both.sum(-1) * 2 - both[..., 0] - both[..., -1]
        energy = torch.hann_window(self.n_fft, dtype=y.dtype).square().sum().item()
        return both.flatten(1).mean(1).reshape(-1, 1, 1) / (self.n_fft * energy)

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``|STFT(x)|``."""
        return spectrum(sinc_resample(x, self.sample_rate, self.measured_rate), self.stft).abs()

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """Run the fast Griffin-Lim from the estimate's phase, with the measured magnitude."""
        phase = spectrum(estimate, self.stft).angle()
        if phase.shape != measurement.shape:
            raise InputError(f"magnitudes {tuple(measurement.shape)} do not fit audio of {estimate.shape[-1]} samples")
        magnitude = measurement.to(estimate.dtype)
        return griffin_lim(magnitude, phase, self.stft, estimate.shape[-1], self.iterations, momentum=0.99)
