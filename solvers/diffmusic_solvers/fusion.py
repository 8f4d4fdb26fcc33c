"""Fusion: sampling by a reference's prompt, with the original's latent inserted at one noise level."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.editor.unconditioned_inversion import Kind, inverted, retained_deviation
from diffmusic.parameters import Doc, Field
from diffmusic.solver.dpm_solver import Estimate, Order, dpm_step, order_at, remember


@dataclass(frozen=True)
class Fusion:
    """Fusion of an original and a reference by unconditioned inversion.

        z  = sigma_0 n_0
        z <- z_hat(sigma_i)   at the one level sigma_i = level       the original, inverted (``injected``)
        D  = D_u + w (D_c - D_u),  D_c = denoise(z, sigma, c)        c the reference's prompt, u the negative one
        z' = a step of DPM-Solver++ (``diffmusic.solver.dpm_solver``) of the order that the level allows

    z: latents, (targets * items, ...); the targets are prompts of references. A level of 0 gives the original back (the
    round trip of its latent), ``inf`` the reference: nothing is inserted.

    The inserted latent replaces ``z``. So the levels above hand on only the history of clean estimates ``D``, which the
    second and the third order extrapolate: for a step or two the fusion is pushed away from where the reference was
    heading. ``reset``, which the paper does not have, leaves the history out; then, as with order 1, the levels above
    are skipped. The reference enters below the level, through the network and its prompt.

    injected: ``inverted`` is the paper's, without any noise (``diffmusic.editor.unconditioned_inversion``): the clean
    latent on a variance-exploding schedule (``start=0``), a louder one on a variance-preserving schedule that starts at
    the level ``start``. ``diffused`` is ``z_0 + sigma n``, as in the network's training, and ``stochastic`` the
    inversion that keeps its random terms: cases b and c of the paper's figure 1. Where segments are edited, the rest is
    the original with the noise of its level.

    Source: J. Liu and E. Lian, "Abstract Sound Fusion with Unconditioned Inversion Model", Algorithm 1.
    """

    level: Annotated[float, Field(ge=0), Doc("noise level at which the original is put in")] = 3.0
    order: Annotated[Order, Doc("of the solver: 1, 2 or 3")] = 2
    sampler: Annotated[Kind, Doc("with fresh noise (sde) or without (ode)")] = "sde"
    warm_up: Annotated[int, Field(ge=1), Doc("first steps that are of order 1")] = 1
    cool_down: Annotated[int, Field(ge=1), Doc("last steps that are of order 1")] = 1
    reset: Annotated[bool, Doc("forget what was estimated before the original was put in")] = True
    injected: Annotated[Literal["inverted", "diffused", "stochastic"], Doc("how the original gets to the level")] = (
        "inverted"
    )
    inversion: Annotated[Kind, Doc("which model inverts it, where start is not 0")] = "sde"
    start: Annotated[float, Field(ge=0), Doc("level at which a variance-preserving inversion starts; 0: exploding")] = (
        0.0
    )
    published: Annotated[bool, Doc("third order as diffusers has it, which is of second order")] = False

    def edit(self, task: Edit) -> Tensor:
        steps, entry = len(task.sigmas) - 1, self.entry(task.sigmas)
        if entry == steps:
            return task.each_target(task.z0)
        unheard = entry is not None and (self.reset or self.order == 1)  # the levels above have no effect below
        z = task.each_target(task.sigmas[0] * task.noise(0))
        history: tuple[Estimate, ...] = ()
        for index, sigma, sigma_next in task.levels():
            if unheard and entry is not None and index < entry:
                continue
            if index == entry:
                z = task.each_target(self.inject(task, index))
                history = () if self.reset else history
            history = remember(history, Estimate(sigma, task.denoise(z, sigma, task.texts)), self.order)
            order = order_at(index, steps, self.order, self.warm_up, self.cool_down)
            fresh = task.noise(index + 1)
            noise = task.each_target(fresh) if self.sampler == "sde" else None
            z = dpm_step(z, history[:order], sigma_next, noise, self.published)
            z = task.keep(z, task.z0 + sigma_next * fresh, sigma_next)
        return z

    def entry(self, sigmas: tuple[float, ...]) -> int | None:
        """Return the index of the noise level nearest to ``level`` in log sigma; None for ``inf``.

        It is the last index, that of level 0, for a ``level`` below all others by as much.
        """
        if math.isinf(self.level):
            return None
        logs = np.log(np.maximum(sigmas, 1e-30))
        logs[-1] = 2 * logs[-2] - logs[-3] if len(logs) > 2 else logs[-2] - 1
        return int(np.abs(logs - math.log(max(self.level, 1e-30))).argmin())

    def inject(self, task: Edit, index: int) -> Tensor:
        """Return the original at noise level ``index``, (items, ...)."""
        sigma = task.sigmas[index]
        if self.injected == "diffused":
            return task.z0 + sigma * task.noise(index)
        z = inverted(task.z0, sigma, self.inversion, self.start or None)
        if self.injected == "stochastic":
            below = task.sigmas[index + 1]
            z = z - retained_deviation(sigma, below) * task.noise(index)
        return z
