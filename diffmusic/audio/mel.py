"""Log-mel spectrogram that AudioLDM2, MusicLDM and the mini prior are trained on, as a differentiable map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from librosa.filters import mel as slaney_filters
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

_PIECE = 4096  # frames of long audio that are in memory at a time: more than any prior was trained on


@dataclass(frozen=True)
class MelSpec:
    """Settings of a log-mel spectrogram; the defaults are those of AudioLDM2 and MusicLDM.

    sample_rate, low and high are in Hz, n_fft and hop in samples; floor is the smallest mel magnitude.
    """

    sample_rate: int = 16_000
    n_fft: int = 1024
    hop: int = 160
    bands: int = 64
    low: float = 0.0
    high: float = 8_000.0
    floor: float = 1e-5

    @classmethod
    def at(cls, sample_rate: int) -> MelSpec:
        """Return frames of the defaults' duration and hop at another rate, with bands up to the Nyquist frequency."""
        n_fft = 2 * round(0.032 * sample_rate)
        # Narrower bands would hold no bin.
        return cls(sample_rate, n_fft, round(0.01 * sample_rate), min(64, max(1, n_fft // 8)), high=sample_rate / 2)

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop

    def frames(self, samples: int) -> int:
        """Return the frames of an excerpt of so many samples: one a hop, at least one."""
        return max(1, samples // self.hop)


@dataclass(frozen=True)
class LogMel:
    """Log-mel ``M = log(max(B |STFT(x)|, floor))``, with slaney bands ``B`` and the natural logarithm.

    Takes audio (batch, time) and gives (batch, frames, bands): time before frequency, as those models lay out the input
    of their VAE. Frame ``t`` is centred on sample ``(t + 1/2) hop`` (reflect padding of ``(n_fft - hop) / 2``), so a
    whole number of hops gives exactly ``time / hop`` frames. float64 stays float64; half precisions are computed in
    float32. Minutes of audio are processed in pieces, whose spectra are computed again for the gradient instead of
    being kept.

    Source: HiFi-GAN's mel, as MusicLDM and AudioLDM2 use it.
    """

    spec: MelSpec = MelSpec()

    def __call__(self, audio: Tensor) -> Tensor:
        frames, spec = self.spec.frames(audio.shape[-1]), self.spec
        if audio.ndim != 2 or frames <= _PIECE:
            return self._mel(audio)
        # The first and the last piece are mirrored at their outer ends, and every inner frame is whole.
        margin = -(-((spec.n_fft - spec.hop) // 2) // spec.hop)
        pieces = []
        for start in range(0, frames, _PIECE):
            stop, first = min(frames, start + _PIECE), max(0, start - margin)
            last = None if stop == frames else (stop + margin) * spec.hop
            piece = audio[:, first * spec.hop : last]
            if torch.is_grad_enabled() and piece.requires_grad:
                mel = checkpoint(self._mel, piece, use_reentrant=False, preserve_rng_state=False)
            else:
                mel = self._mel(piece)
            pieces.append(mel[:, start - first : stop - first])
        return torch.cat(pieces, dim=1)

    def _mel(self, audio: Tensor) -> Tensor:
        return self.of_magnitude(self.spectrum(audio).abs())

    def spectrum(self, audio: Tensor) -> Tensor:
        """Compute the STFT of audio (batch, time), complex, (batch, frames, n_fft / 2 + 1)."""
        if audio.ndim != 2:
            raise ValueError(f"log-mel takes audio of shape (batch, time), not {tuple(audio.shape)}")
        spec = self.spec
        x = audio if audio.dtype in (torch.float32, torch.float64) else audio.float()
        frames = spec.frames(x.shape[-1])
        margin = (spec.n_fft - spec.hop) // 2
        # Reflection needs more samples than it mirrors, and a frame at least one hop.
        x = functional.pad(x, (0, max(0, max(margin + 1, spec.hop) - x.shape[-1])))
        x = functional.pad(x[:, None], (margin, margin), mode="reflect")[:, 0]
        window = torch.hann_window(spec.n_fft, dtype=x.dtype, device=x.device)
        spectrum = torch.stft(x, spec.n_fft, spec.hop, window=window, center=False, return_complex=True)
        return spectrum.mT[:, :frames]

    def of_magnitude(self, magnitude: Tensor) -> Tensor:
        """Compute the log-mel, (batch, frames, bands), of the magnitude of ``spectrum``."""
        return (magnitude @ self.filters(magnitude).T).clamp(min=self.spec.floor).log()

    def raised(self, spectrum: Tensor, change: Tensor) -> Tensor:
        """Raise the bands of ``spectrum`` by ``change``, nats, (batch, frames, bands):

            S exp(B^T change / B^T 1)

        Each bin changes as the bands around it. Bins above the last band belong to none, and stay as they are.
        """
        filters = self.filters(change)
        return spectrum * ((change @ filters) / filters.sum(0).clamp(min=1e-8)).exp()

    def filters(self, like: Tensor) -> Tensor:
        """Return the bands ``B``, (bands, n_fft / 2 + 1), in the dtype and on the device of ``like``."""
        return mel_filters(self.spec, like.dtype, like.device)


@lru_cache(maxsize=16)
def mel_filters(spec: MelSpec, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Compute Slaney-normalised triangular filters, (bands, n_fft / 2 + 1), in float64, and cast them."""
    filters = slaney_filters(
        sr=spec.sample_rate, n_fft=spec.n_fft, n_mels=spec.bands, fmin=spec.low, fmax=spec.high,
        htk=False, norm="slaney", dtype="float64",
    )  # fmt: skip
    # A plain tensor even when the first caller is in inference mode: the cache outlives that mode.
    with torch.inference_mode(False):
        return torch.from_numpy(filters).to(device=device, dtype=dtype)
