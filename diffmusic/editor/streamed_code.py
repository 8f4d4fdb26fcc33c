"""Latent codes of any length: kept, or computed a level at a time as they are replayed."""

from __future__ import annotations

from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.editor.inversion import (
    Code,
    CodeStep,
    Points,
    cleaned,
    extrapolated,
    independent_path,
    independent_points,
    invert,
)
from diffmusic.solver.steps import mean


class StreamedCode:
    """Latent code that is computed as it is replayed, a level at a time: ten minutes take no more memory than a level.

    Args:
        task: The recording, under its source's text.
        points: Its path.
        eta: Of the sampler.
        order: Of the sampler.
    """

    begun = 0.0

    def __init__(self, task: Edit, points: Points, eta: float = 1.0, order: int = 1) -> None:
        self._task, self._points, self._eta, self._order = task, points, eta, order
        self._last: tuple[int, CodeStep] | None = None
        self._before: Tensor | None = None

    def step(self, index: int) -> CodeStep:
        """Compute a step; steps come in order, and the last may be asked for again."""
        if self._last is None or self._last[0] != index:
            task, known = self._task, self._last
            point = self._points(index) if known is None else known[1].following
            sigma, sigma_next = task.sigmas[index : index + 2]
            clean = cleaned(task, point[None], [sigma])[0]
            around = task.sigmas[max(0, index - 1) : index + 2]
            target = extrapolated(clean, self._before, around, self._order)
            moved = mean(point, target, sigma, sigma_next, self._eta)
            self._before = clean
            self._last = index, CodeStep(point, self._points(index + 1), clean, moved)
        return self._last[1]


MOST = 1 << 28
"""Elements of a code that are kept: a gigabyte in single precision."""


def coded(task: Edit, eta: float = 1.0, order: int = 1) -> Code:
    """Return the edit-friendly code: kept where the network takes many latents at once, so that its levels share calls,
    and they fit in ``MOST``; else streamed. The values are the same."""
    kept = 3 * len(task.sigmas) * task.z0.numel()
    if (task.denoise.batch or 1) > 1 and kept <= MOST:
        return invert(task, independent_path(task), eta, order)
    return StreamedCode(task, independent_points(task), eta, order)
