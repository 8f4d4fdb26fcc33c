"""Reverb: the recording was made in a room, or through anything else that convolves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio import files
from diffmusic.audio.resample import resample
from diffmusic.audio.stft import windows_of
from diffmusic.audio.wpe import dereverberated
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem.chain import Chainable
from diffmusic.problem.least_squares import convolved, informed_inverse
from diffmusic.problem.room import Room

_WINDOW = 0.064  # seconds, of what predicts

_DECAY = 0.5  # seconds, of the synthetic room where none is given
_RATE = 48000  # at which a synthetic room is made, so that it is the same room at every rate


@dataclass(frozen=True)
class Reverb(Chainable):
    """Convolution ``y = h * x``, cut to the length of ``x``; ``h`` is an impulse response.

    The response comes from a file, or is a synthetic room: the direct sound and a noise, a function of the seed, that
    falls by 60 dB in ``decay`` seconds. With neither, the room of a recording is found with the music (``FoundRoom``).
    Shapes: x and y are (batch, channels, time).
    """

    response: Annotated[Path | None, Doc("impulse response, an audio file; its first channel is used")] = None
    decay: Annotated[
        float | None, Field(gt=0, le=20), Doc("seconds in which a synthetic room falls by 60 dB, for `simulate`")
    ] = None
    direct: Annotated[
        float, Field(ge=-60, le=60), Doc("energy of the direct sound over that of the room, dB, of the synthetic room")
    ] = 0.0
    room: Annotated[int, Field(ge=0), Doc("the synthetic room is a function of it")] = 0
    trust: Annotated[
        float, Field(gt=0, le=10), Doc("how much finishing keeps to the estimate where the room lets little through")
    ] = 0.003
    sample_rate: int = 16000

    @property
    def made_up(self) -> str:
        """Why a synthetic room is no recording's."""
        if self.response or (self.decay, self.direct, self.room) == (None, 0.0, 0):
            return ""
        return (
            "a synthetic room is not that of a recording: leave `decay`, `direct` and `room` out, and the room is "
            "found with the music; or give its impulse response with `response`"
        )

    def impulse(self, like: Tensor) -> Tensor:
        """Return ``h`` at ``sample_rate``, (taps,)."""
        return torch.from_numpy(self._taps()).to(like)

    def _taps(self) -> np.ndarray:
        return _impulse(self.response, self.decay or _DECAY, self.direct, self.room, self.sample_rate)

    def validate(self, seconds: float) -> None:
        """Raise InputError for a response that cannot be read or is silent."""
        self._taps()

    def fitted(self, measurement: Tensor) -> Reverb | FoundRoom:
        """Return the operator; of a room that nobody measured what the recording tells of it, a ``FoundRoom``."""
        return self if self.response or self.decay else FoundRoom.of(measurement, self.sample_rate)

    def power(self, y: Tensor) -> Tensor:
        """Compute ``mean y^2 / |h|^2``, (batch, 1, 1)."""
        return y.square().flatten(1).mean(1).reshape(-1, 1, 1) / self.impulse(y).square().sum()

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``h * x``."""
        return convolved(x, self.impulse(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Correlate with ``h``: ``sum_k h[k] y[n + k]``."""
        return convolved(y, self.impulse(y), transposed=True)

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """Apply a Wiener filter whose prior is the estimate, at the recording's phases (``informed_inverse``)."""
        return informed_inverse(self, measurement, estimate, self.trust, self.sample_rate)


@dataclass(frozen=True)
class FoundRoom(Chainable):
    """The same for a room that nobody measured: its powers are found, and noise stands for its phases.

    A first room is what weighted prediction error tells (``diffmusic.audio.wpe``), the music is estimated in it, and
    finishing finds the room again with that estimate. Shapes: x and y are (batch, channels, time).
    """

    room: Room
    sample_rate: int = 16000

    @classmethod
    def of(cls, y: Tensor, sample_rate: int) -> FoundRoom:
        """Find the room by what weighted prediction error leaves of a recording, (1, channels, time)."""
        return cls(Room.fitted(dereverberated(y[0], windows_of(_WINDOW, sample_rate)), y[0], sample_rate), sample_rate)

    def _impulse(self, like: Tensor) -> Tensor:
        return torch.from_numpy(self.room.impulse(self.sample_rate)).to(like)

    def power(self, y: Tensor) -> Tensor:
        """Compute ``mean y^2 / |h|^2``, (batch, 1, 1)."""
        return y.square().flatten(1).mean(1).reshape(-1, 1, 1) / self._impulse(y).square().sum()

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``h * x``."""
        return convolved(x, self._impulse(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Correlate with ``h``."""
        return convolved(y, self._impulse(y), transposed=True)

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """Take off what the room added, by its powers: ``sqrt(|X|^2 / (|X|^2 + L))`` in each bin (``Room.dry``) of what
        weighted prediction error leaves of the recording, whose phases are kept; ``X`` the estimate."""
        settings, out = windows_of(_WINDOW, self.sample_rate), torch.empty_like(measurement)
        room = Room.fitted(estimate, measurement, self.sample_rate)
        for number, (x, y) in enumerate(zip(estimate, measurement, strict=True)):
            out[number] = room.dry(dereverberated(y, settings), x, self.sample_rate)
        return out


@lru_cache(maxsize=16)
def _impulse(path: Path | None, decay: float, direct: float, room: int, rate: int) -> np.ndarray:
    """Compute the taps at ``rate``, float64, scaled with the rate so that their sum stays the same."""
    if path is None:
        time = np.arange(round(_RATE * decay * 1.2)) / _RATE
        tail = np.random.default_rng(room).standard_normal(len(time)) * 10 ** (-3 * time / decay)
        tail[0] = 0
        taps, source = tail * 10 ** (-direct / 20) / np.linalg.norm(tail), _RATE
        taps[0] = 1.0
    else:
        recording = files.read(path)
        taps, source = recording.samples[0], recording.sample_rate
    taps = resample(taps[None], source, rate)[0] * (source / rate)
    if not np.any(taps):
        raise InputError(f"the impulse response {path} is silent")
    return taps
