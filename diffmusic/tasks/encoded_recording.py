"""Recording encoded as latents of a prior, with the way back: loudness, rate, channels and windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio import level
from diffmusic.audio.resample import resample
from diffmusic.prior.backbone import Backbone, Costs
from diffmusic.prior.counted import Counted
from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.windowed import Windowed
from diffmusic.solver.noise import generator


@dataclass(frozen=True)
class EncodedRecording:
    """Latents ``z`` of ``x = resample(audio) / gain``; ``audio_of`` is the inverse.

    Attributes:
        audio: the recording as the backbone's input, (items, channels, time) at its rate. An item is a channel of the
            recording where the backbone is mono, else the whole recording.
        z: its latents, (items, channels, frames, ...).
        gain: of the recording, for all its channels.
        channels, length, sample_rate: of the recording itself.
    """

    backbone: Backbone
    audio: Tensor
    z: Tensor
    gain: float
    channels: int
    length: int
    sample_rate: int
    costs: Costs

    @classmethod
    def of(cls, audio: np.ndarray, sample_rate: int, backbone: Backbone, costs: Costs) -> EncodedRecording:
        """Encode a recording, (channels, time) at ``sample_rate`` Hz, full scale 1."""
        gain = float(level.gain(torch.tensor(np.mean(np.square(audio)), dtype=torch.float64)))
        low = torch.from_numpy(resample(audio, sample_rate, backbone.sample_rate) / gain).float()
        x = low[:, None] if backbone.channels == 1 else _channels(low, backbone.channels)[None]
        x = x.to(backbone.device)
        return cls(backbone, x, encode(backbone, x, costs), gain, len(audio), audio.shape[-1], sample_rate, costs)

    def audio_of(self, z: Tensor) -> np.ndarray:
        """Decode latents to a recording, (channels, time), float64, as long and as loud as the one encoded."""
        x = decode(self.backbone, z, self.audio.shape[-1], self.costs).cpu().double()
        x = x[:, 0] if self.backbone.channels == 1 else x[0]
        if len(x) != self.channels:
            x = _channels(x, self.channels) if self.channels > 1 else x.mean(0, keepdim=True)
        return resample(self.gain * x.numpy(), self.backbone.sample_rate, self.sample_rate, self.length)

    def noise(self, *key: int) -> Tensor:
        """Draw the normal field of a key such as (seed, sample, number), of the shape of ``z``; items share it."""
        field = torch.randn(self.z.shape[1:], generator=generator(*key), dtype=torch.float32)
        return field.to(self.z).expand_as(self.z)

    def round_trip(self) -> np.ndarray:
        """Decode the recording's own latents: the ceiling of any edit's fidelity."""
        return self.audio_of(self.z)


def _channels(x: Tensor, count: int) -> Tensor:
    """Convert (channels, time) to ``count`` channels: one is copied, more are cut or the last is repeated."""
    return x[[min(channel, len(x) - 1) for channel in range(count)]]


def whole_or_windowed(backbone: Backbone, samples: int) -> Backbone:
    """Return the backbone for a recording of that many samples, in windows if it was trained on less.

    A hundredth more than it was trained on is accepted, because restoring rounds the lengths of its windows.
    """
    return Windowed.of(backbone) if samples > 1.01 * backbone.excerpt_seconds * backbone.sample_rate else backbone


def denoiser(backbone: Backbone, costs: Costs, batch: int | None, samples: int) -> Denoiser:
    """Return a denoiser for latents of so many samples.

    batch: by default one on a CPU, where larger batches change the last bits.
    """
    return Denoiser(whole_or_windowed(backbone, samples), costs, batch or (1 if backbone.device.type == "cpu" else 16))


def window_frames(backbone: Backbone) -> int:
    """Return the number of latent frames that a backbone was trained on."""
    return backbone.latent_shape(round(backbone.excerpt_seconds * backbone.sample_rate))[1]


def encode(backbone: Backbone, x: Tensor, costs: Costs) -> Tensor:
    """Encode (items, channels, time) as latents, one item at a time."""
    counted = Counted(whole_or_windowed(backbone, x.shape[-1]), costs)
    with torch.no_grad():
        return torch.cat([counted.encode(item[None]) for item in x])


def decode(backbone: Backbone, z: Tensor, samples: int, costs: Costs) -> Tensor:
    """Decode latents to audio (items, channels, samples), one item at a time."""
    counted = Counted(whole_or_windowed(backbone, samples), costs)
    with torch.no_grad():
        return torch.cat([counted.decode(item[None], samples) for item in z])
