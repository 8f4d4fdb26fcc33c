"""Noise levels of a backbone: those of an edit, and that of the paper's ``T_start``."""

from __future__ import annotations

from typing import Any

import numpy as np

from diffmusic.errors import InputError
from diffmusic.prior.backbone import Backbone


def levels(backbone: Backbone, strength: float, steps: int) -> tuple[float, ...]:
    """Return ``steps + 1`` decreasing noise levels from ``strength``.

    They fall evenly in log sigma to the lowest level that the backbone was trained at, then to 0. Raises InputError for
    a strength outside of the levels that the backbone was trained at.
    """
    known = backbone.sigmas(2).tolist()
    highest, lowest = known[0], known[-2]
    if not lowest < strength <= highest * (1 + 1e-9):
        raise InputError(
            f"`strength` {strength:g}: it is a noise level, and this prior knows those from {lowest:.3g} to "
            f"{highest:.3g}; more changes more"
        )
    if steps < 1:
        raise InputError(f"`steps` {steps}: at least one")
    return (*np.geomspace(strength, lowest, steps).tolist(), 0.0) if steps > 1 else (strength, 0.0)


def strength(backbone: Any, start: int, steps: int = 200) -> float:
    """Return the noise level of the paper's ``T_start``: of ``steps`` sampling steps, the last ``start`` are run.

    A network with a grid of training timesteps (AudioLDM2, MusicLDM) is sampled at every ``1000 // steps``-th of them
    plus one, as in diffusers' DDIMScheduler: T_start 100 of 200 is timestep 496. Stable Audio has levels even in log
    sigma. The same index is another level on each, which is why strength is a level here.
    """
    if not 1 <= start <= steps:
        raise InputError(f"`t_start` {start}: it is 1 to {steps} of {steps} steps")
    grid = getattr(getattr(backbone, "noise", None), "grid", None)
    if grid is None:
        return float(backbone.sigmas(steps)[steps - start])
    if steps > len(grid):
        raise InputError(f"`t_start` {start}/{steps}: this prior was trained at {len(grid)} levels, no more")
    return float(grid[min(len(grid) - 1, (start - 1) * (len(grid) // steps) + 1)])


def frame_rate(backbone: Backbone) -> float:
    """Return latent frames a second: dimension 2 of latents with their batch is time."""
    return backbone.latent_shape(1000 * backbone.sample_rate)[1] / 1000


def sweep(window: tuple[float, float], count: int) -> tuple[float, ...]:
    """Return ``count`` levels across a window, even in log sigma, from the lowest, which is nearest to the original."""
    low, high = window
    if not 0 < low < high or count < 1:
        raise InputError(f"a window from {low:g} to {high:g}: write LOW:HIGH, both noise levels above 0")
    return tuple(np.geomspace(low, high, count).tolist()) if count > 1 else (float(np.sqrt(low * high)),)
