"""Solvers side by side on known music with one prior: what each makes of a gap, and of a missing upper band."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from diffmusic.audio.mel import MelSpec, mel_filters
from diffmusic.errors import DiffmusicError
from diffmusic.models.components import load_component
from diffmusic.parameters import bind
from diffmusic.plugins import registry
from diffmusic.prior.backbone import Backbone
from diffmusic.problem.operator import observed_rate
from diffmusic.solver.contract import LATENT_SOLVER, PRIOR_SOLVER, WithPrior
from diffmusic.tasks.prior_quality import flux, log_mel
from diffmusic.tasks.restore import restore
from diffmusic.tasks.settings import RestoreSettings

Kind = Literal["gap", "band"]
DEFAULTS: dict[Kind, str] = {"gap": LATENT_SOLVER, "band": PRIOR_SOLVER}
"""The solver of a kind of damage where nothing is known of the prior."""
LONGEST, PART = 1.0, 0.2
"""The gap: seconds, and part of the clip, at most."""


def candidates() -> list[str]:
    """Return the names of the installed solvers that walk a prior by themselves."""
    found = registry().components("solver")
    named = [name for name, spec in found.items() if spec.role == "prior"]
    return [name for name in named if isinstance(load_component("solver", name), WithPrior)]


@dataclass(frozen=True)
class Cell:
    """One clip through one solver.

    Attributes:
        crps: Continuous ranked probability score of the samples in every frame and band that is inside of the damage,
            nats, the mean over them: ``mean_i |x_i - y| - mean_(i<j) |x_i - x_j| / 2``. It is least for samples of the
            true posterior: it pays neither to blur nor to make things up.
        one: Log-mel L1 of one sample, nats.
        mean: Of the mean of the samples.
        flux: Of the samples, over the truth's.
        seconds: Time a sample.
        error: Why there is no estimate, or what speaks against it; "" where all went well.
    """

    crps: float = float("nan")
    one: float = float("nan")
    mean: float = float("nan")
    flux: float = float("nan")
    seconds: float = float("nan")
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error


def run(backbone: Backbone, clip: np.ndarray, kind: Kind, solver: str, steps: int, samples: int) -> Cell:
    """Damage a clip, restore it, and compare the samples with it.

    Args:
        backbone: The prior.
        clip: Clean audio, (channels, time), at its rate.
        kind: ``gap``: the middle fifth, of a second at most; ``band``: what half the rate does not hold.
        solver: Name of the solver, with parameters if need be.
        steps: Noise levels.
        samples: Restorations to draw.
    """
    rate, operator = backbone.sample_rate, load_component("operator", "resampling")
    if kind == "gap":
        operator = load_component("operator", "inpainting", {"gap": [hole(clip.shape[-1] / rate)]})
    started = time.perf_counter()
    try:
        at = observed_rate(operator, rate)
        bound = bind(operator, sample_rate=rate, measured_rate=at, offset=0.0)
        measured = bound.forward(torch.from_numpy(clip)[None])[0].numpy()
        method, settings = load_component("solver", solver), RestoreSettings(steps=steps, samples=samples)
        result = restore(measured, at, operator, method, backbone, settings, length=clip.shape[-1])
    except DiffmusicError as error:
        return Cell(error=str(error))
    seconds = (time.perf_counter() - started) / samples
    drawn = [_part(log_mel(each, rate), kind, clip, rate) for each in result.audio]
    return _scored(_part(log_mel(clip, rate), kind, clip, rate), drawn, seconds, "; ".join(result.doubts))


def straight(clip: np.ndarray, rate: int) -> Cell:
    """Measure a straight line in every band through the log-mel of a clip, from one side of the gap to the other."""
    mel = log_mel(clip, rate)
    inside = _inside(clip, rate)
    reach = 1 + round(0.064 * rate / MelSpec.at(rate).hop)  # frames that see some of the gap
    first, last = max(0, inside.start - reach), min(len(mel) - 1, inside.stop + reach)
    line, weight = mel.copy(), np.linspace(0, 1, last - first + 1)[:, None]
    line[first : last + 1] = (1 - weight) * mel[first] + weight * mel[last]
    return _scored(mel[inside], [line[inside]], 0.0)


def hole(seconds: float) -> tuple[float, float]:
    """Return the gap of a clip of that length, seconds."""
    length = min(LONGEST, PART * seconds)
    return (seconds - length) / 2, (seconds + length) / 2


def _inside(clip: np.ndarray, rate: int) -> slice:
    """Frames of a log-mel that lie wholly inside the gap, two at least."""
    spec, (start, stop) = MelSpec.at(rate), hole(clip.shape[-1] / rate)
    first = math.ceil((start * rate + spec.n_fft / 2) / spec.hop)
    return slice(first, max(first + 2, math.floor((stop * rate - spec.n_fft / 2) / spec.hop)))


def _part(mel: np.ndarray, kind: Kind, clip: np.ndarray, rate: int) -> np.ndarray:
    """What of a log-mel is in the damage, (frames, bands)."""
    if kind == "gap":
        return mel[_inside(clip, rate)]
    spec = MelSpec.at(rate)
    centres = mel_filters(spec, torch.float64, torch.device("cpu")).argmax(1).numpy() * rate / spec.n_fft
    return mel[:, centres > rate / 4]


def _scored(true: np.ndarray, drawn: list[np.ndarray], seconds: float, error: str = "") -> Cell:
    stack, count = np.stack(drawn), len(drawn)
    one = float(np.abs(stack - true).mean())
    apart = [np.abs(a - b).mean() for n, a in enumerate(drawn) for b in drawn[:n]]
    spread = float(np.mean(apart)) if count > 1 else 0.0
    changes = float(np.mean([flux(each) for each in drawn])) / max(flux(true), 1e-12)
    return Cell(one - spread / 2, one, float(np.abs(stack.mean(0) - true).mean()), changes, seconds, error)
