"""Posterior principal components: directions that ``diffmusic explore`` found, followed at any strength."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator
from torch import Tensor

from diffmusic.editor.averages import kept
from diffmusic.editor.contract import Edit
from diffmusic.editor.directions import Directions, find
from diffmusic.editor.drift import follow
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field


def _numbers(value: Any) -> Any:
    return tuple(value.split(",")) if isinstance(value, str) else value


@dataclass(frozen=True)
class PosteriorPC:
    """H. Manor and T. Michaeli, "Zero-shot unsupervised and text-based audio editing using DDPM inversion",
    arXiv:2402.10009, section 3.3, eq. 5.

        z_{i+1} = m(z_i) + c_i amount sum_j w_j sqrt(lambda_{j|i}) v_{j|i'} + r_i,   c_i = 1 - k / sigma_i

    ``v`` and ``lambda`` are eigenvectors and eigenvalues of ``Cov[z_0 | z_i]`` at each level of the recording's path,
    as ``diffmusic explore`` saves them. ``at`` fixes the level ``i'`` of the directions: the same direction at all
    levels changes one thing strongly, while each level's own lead further away. With ``amount`` 0 nothing changes. The
    eigenvalues are the recording's own unless ``averages`` is given.
    """

    directions: Annotated[str, Doc("file of diffmusic explore; by default they are found first")] = ""
    weights: Annotated[tuple[float, ...], BeforeValidator(_numbers), Doc("weights of the components, W1,W2,...")] = (
        1.0,
    )
    amount: Annotated[float, Doc("how far, in standard deviations; its sign is a choice")] = 2.0
    at: Annotated[float | None, Field(gt=0), Doc("noise level of the directions; by default each level's own")] = None
    until: Annotated[float, Field(ge=0), Doc("noise level below which there is no drift")] = 0.0
    averages: Annotated[str, Doc("file of averaged eigenvalues, or kept for those of explore --average, instead of the "
                                 "recording's own")] = ""  # fmt: skip
    random: Annotated[bool, Doc("random directions of the same length instead: the control")] = False

    @classmethod
    def example(cls) -> PosteriorPC:
        return cls(amount=0.1)

    def graded(self, count: int) -> tuple[tuple[str, PosteriorPC], ...]:
        """Return the editor at amounts from ``-amount`` to ``amount``."""
        if not self.directions:
            raise InputError("a sweep follows directions that are known: find them with diffmusic explore first")
        amounts = np.linspace(-self.amount, self.amount, count).tolist() if count > 1 else [self.amount]
        return tuple((f"{amount:+.3g}", dataclasses.replace(self, amount=amount)) for amount in amounts)

    def edit(self, task: Edit) -> Tensor:
        if not self.directions:
            own = find(task, len(self.weights))
            return follow(task, own, self.weights, self.amount, self.at, self.until, random=self.random)
        found = Directions.load(Path(self.directions))
        model, here = found.about.get("model", {}), task.denoise.backbone.describe()
        if model.get("sha256") != here.get("sha256"):
            raise InputError(f"{self.directions} holds directions of another model, {model.get('name')}")
        path = kept(str(here.get("sha256"))) if self.averages == "kept" else Path(self.averages)
        averages = Directions.load(path) if self.averages else None
        return follow(task, found, self.weights, self.amount, self.at, self.until, averages, self.random)
