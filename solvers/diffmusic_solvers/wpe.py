"""Weighted prediction error: dereverberation of a room that nobody knows, without a prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from diffmusic.audio.stft import windows_of
from diffmusic.audio.wpe import dereverberated
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.problem import HasDamage, HasMeasuredRate, Problem, sources


@dataclass(frozen=True)
class WPE:
    """Late reverberation is what earlier frames predict of later ones, and is taken off; nothing is differentiated.

        D[t] = Y[t] - G^H (Y[t - delay], ..., Y[t - delay - taps + 1])

    with the ``G`` of the least ``sum |D|^2 / lambda`` (``diffmusic.audio.wpe``), in each bin of the STFT, all channels
    together. The room need not be known. Raises InputError for an operator that is no change of the whole recording.

    Source: T. Nakatani et al., IEEE Trans. Audio, Speech, and Language Processing 18(7), 2010.
    """

    taps: Annotated[int, Field(ge=1), Doc("frames that predict, a quarter window each")] = 20
    delay: Annotated[int, Field(ge=1), Doc("frames between; what comes earlier counts as the sound's own")] = 3
    iterations: Annotated[int, Field(ge=1), Doc("estimates of the sound's power")] = 3
    window: Annotated[float, Field(gt=0, le=1), Doc("seconds of a frame")] = 0.064
    sample_rate: int = 16000

    def estimate(self, problem: Problem) -> Tensor:
        """Return the estimate, (batch, channels, time)."""
        y, operator = problem.measured, problem.operator
        if y.ndim != 3 or isinstance(operator, HasDamage | HasMeasuredRate) or sources(operator) > 1:
            raise InputError("wpe needs a recording of a room, such as operator reverb")
        settings = windows_of(self.window, self.sample_rate)
        return torch.stack([dereverberated(each, settings, self.taps, self.delay, self.iterations) for each in y])
