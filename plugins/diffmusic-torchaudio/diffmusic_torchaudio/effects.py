"""Effects of ``torchaudio.functional`` that have a gradient."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import torch
import torchaudio.functional as effects
from torch import Tensor

from diffmusic.parameters import Doc, Field
from diffmusic.problem.least_squares import convolved, informed_inverse

Kind = Literal["lowpass", "highpass", "bandpass", "bandreject", "equalizer", "bass", "treble"]
_LONGEST = 1.0  # seconds; a response is cut where it has fallen by 120 dB, or here


@dataclass(frozen=True)
class Biquad:
    """``y = h * x``, cut to the length of ``x``; ``h`` is the impulse response of a torchaudio biquad.

    The response is asked for once, and convolution does the rest: unlike torchaudio's recursion it has an exact
    gradient in every build, an adjoint, and no limit at full scale. Shapes: (batch, channels, time), both.
    """

    kind: Annotated[Kind, Doc("which filter; bass and treble are shelves")] = "lowpass"
    frequency: Annotated[float, Field(gt=0), Doc("cutoff or centre, Hz")] = 2000.0
    gain: Annotated[float, Field(ge=-60, le=60), Doc("of an equalizer, bass or treble, dB")] = -12.0
    q: Annotated[float, Field(gt=0), Doc("width: the higher, the narrower")] = 0.707
    trust: Annotated[float, Field(gt=0, le=10), Doc("how much finishing keeps to the estimate")] = 0.01
    sample_rate: int = 16000

    def impulse(self, like: Tensor) -> Tensor:
        """``h`` at ``sample_rate``, (taps,)."""
        frequency = min(self.frequency, 0.49 * self.sample_rate)
        return _impulse(self.kind, frequency, self.gain, self.q, self.sample_rate).to(like)

    def forward(self, x: Tensor) -> Tensor:
        """``h * x``."""
        return convolved(x, self.impulse(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Correlation with ``h``."""
        return convolved(y, self.impulse(y), transposed=True)

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """What the filter let through is taken from there, the rest from the estimate (``informed_inverse``)."""
        return informed_inverse(self, measurement, estimate, self.trust, self.sample_rate)


@lru_cache(maxsize=16)
def _impulse(kind: Kind, frequency: float, gain: float, q: float, rate: int) -> Tensor:
    small = 1e-3  # torchaudio cuts filtered audio at full scale
    pulse = torch.zeros(round(_LONGEST * rate), dtype=torch.float64)
    pulse[0] = small
    if kind in ("equalizer", "bass", "treble"):
        h = getattr(effects, f"{kind}_biquad")(
            pulse, rate, *((frequency, gain) if kind == "equalizer" else (gain, frequency)), q
        )
    else:
        h = getattr(effects, f"{kind}_biquad")(pulse, rate, frequency, Q=q)
    h = h / small
    heard = torch.nonzero(h.abs() > 1e-6 * h.abs().max())
    return h[: int(heard[-1]) + 1]


@dataclass(frozen=True)
class Contrast:
    """``y = sin(pi/2 x + c sin(2 pi x))`` with ``c = amount / 750`` (torchaudio, after SoX): louder, without limiting.

    Shapes: (batch, channels, time), both.
    """

    amount: Annotated[float, Field(ge=0, le=100), Doc("how strong, 0 to 100")] = 75.0

    def forward(self, x: Tensor) -> Tensor:
        return effects.contrast(x, self.amount)

    def finish(self, estimate: Tensor, measurement: Tensor) -> Tensor:
        """The inverse of the curve, which rises throughout as long as nothing exceeds full scale."""
        at = torch.linspace(-1, 1, 20001, dtype=measurement.dtype, device=measurement.device)
        curve = effects.contrast(at, self.amount)
        y = measurement.clamp(float(curve[0]), float(curve[-1])).contiguous()
        upper = torch.searchsorted(curve, y).clamp(1, len(curve) - 1)
        low, high = curve[upper - 1], curve[upper]
        part = (y - low) / (high - low).clamp(min=1e-12)
        return at[upper - 1] + part * (at[1] - at[0])
