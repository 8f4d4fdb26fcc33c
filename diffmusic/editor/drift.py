"""Directions followed: the latent code replayed with a drift (``diffmusic.editor.directions`` has the equation)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.editor.directions import Directions
from diffmusic.editor.inversion import LatentCode, independent_path, invert, replay
from diffmusic.editor.streamed_code import coded
from diffmusic.errors import InputError
from diffmusic.solver.noise import generator
from diffmusic.solver.steps import deviations


def follow(
    task: Edit,
    directions: Directions,
    weights: Sequence[float],
    amount: float,
    at: float | None = None,
    until: float = 0.0,
    averages: Directions | None = None,
    random: bool = False,
    code: LatentCode | None = None,
) -> Tensor:
    """Move a recording along its directions.

    Args:
        task: The recording, its text and its noise levels.
        directions: Directions of the same recording.
        weights: ``w_j``, a linear combination of the components.
        amount: ``gamma``; 0 changes nothing, and 2 is much for music.
        at: Noise level of a fixed ``i'``; None takes each level's own directions.
        until: Noise level below which there is no drift.
        averages: Directions whose eigenvalues are used instead of the recording's own, interpolated over the levels.
        random: Use random directions of the same norm, the control of appendix E: one for all levels if ``at`` is
            given, else one for each level.
        code: The recording's latent code, where it has been computed (``code_of``).

    Returns:
        The moved latents, (targets * items, ...).

    Raises:
        InputError: The directions are of latents of another shape, or fewer than the weights.
    """
    shape = task.z0.shape[1:]
    if directions.vectors.shape[2:] != shape:
        raise InputError(
            f"these directions are of latents {tuple(directions.vectors.shape[2:])}, "
            f"and those of this recording are {tuple(shape)}"
        )
    if len(weights) > directions.vectors.shape[1]:
        raise InputError(f"{len(weights)} weights for {directions.vectors.shape[1]} components")
    if averages is not None and len(weights) > averages.values.shape[1]:
        raise InputError(f"{len(weights)} weights for averages of {averages.values.shape[1]} components")
    w = torch.tensor(weights, dtype=torch.float64)

    def drift(index: int, _clean: Tensor) -> Tensor:
        sigma, sigma_next = task.sigmas[index : index + 2]
        if sigma < until:
            return torch.zeros_like(task.z0[0])
        level = directions.nearest(sigma if at is None else at)
        vectors = directions.vectors[level, : len(w)].double()
        if random:
            draw = torch.randn(vectors.shape, generator=generator(11, index if at is None else 0), dtype=torch.float32)
            support = vectors.abs().sum(0, keepdim=True) > 0
            vectors = torch.nn.functional.normalize((draw.double() * support).flatten(1), dim=1).reshape(vectors.shape)
        correction = 1 - deviations(sigma, sigma_next, 1.0)[0] / sigma
        scale = correction * amount * w * (averages or directions).deviations(sigma)[: len(w)]
        return (scale.reshape(-1, *[1] * len(shape)) * vectors).sum(0).to(task.z0)

    if code is not None:
        return replay(task, code, drift=drift, begun=0.0)
    return replay(task, coded(task), drift=drift)


def code_of(task: Edit) -> LatentCode:
    """Compute the latent code of a recording, which every direction and amount can be followed with."""
    return invert(task, independent_path(task))
