"""Inverse problem: the operator, the measurement, and the misfit of an estimate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.problem.operator import Operator

Space = Literal["mel", "waveform", "both"]


@dataclass(frozen=True)
class Problem:
    """Inverse problem: find ``x`` with ``A(g x) / g = y``, for items at the level the prior knows.

    Attributes:
        operator: ``A``, bound to the rate of ``measured``.
        measured: ``y``, (batch, ...), the measurement divided by its gain.
        gain: ``g``, (batch, 1, 1); the level of the recording relative to the prior's. ``A`` acts at the recording's
            own level, so that operators which are not linear (a clipper) see what they expect.
        features: ``T``, the map from a measurement to the space of the vocoder-mel constraint, (batch, ...).
        noise: Standard deviation of white noise in ``measured``, in its units, (batch, 1, ...) or one for all.
    """

    operator: Operator
    measured: Tensor
    gain: Tensor | float = 1.0
    features: Callable[[Tensor], Tensor] | None = None
    noise: Tensor | float = 0.0

    def predict(self, x: Tensor) -> Tensor:
        """Predict the measurement of an estimate: ``A(g x) / g``.

        Args:
            x: Audio, (batch, channels, time), at the prior's level.

        Returns:
            The measurement, of the shape of ``measured``.
        """
        y = self.operator.forward(x * self.gain)
        return y / (self.gain if isinstance(self.gain, float) else self.gain.reshape(-1, *[1] * (y.ndim - 1)))

    @cached_property
    def _measured_features(self) -> Tensor:
        return self._transform(self.measured)

    def _transform(self, y: Tensor) -> Tensor:
        if self.features is None:
            raise InputError("this problem has no mel transform; take the waveform misfit")
        return self.features(y)

    def misfit(self, x: Tensor, space: Space = "mel") -> Tensor:
        """Compute the misfit ``||T A x - T y||^2``, ``T`` the log-mel, or the identity for ``"waveform"``.

        ``"both"`` is their sum, ``||T A x - T y||^2 + N ||A x - y||^2 / ||y||^2`` with ``N`` the size of ``T y``: an
        error as large as the measurement counts as much as one nat in every frame and band.

        Args:
            x: Audio, (batch, channels, time), at the prior's level.
            space: mel, waveform or both.

        Returns:
            One value an item, (batch,).

        Raises:
            InputError: The problem has no mel transform.
        """
        predicted = self.predict(x)
        if space != "both":
            return self._distance(predicted, space)
        return self._distance(predicted, "mel") + self._waveform_weight * self._distance(predicted, "waveform")

    def _distance(self, predicted: Tensor, space: Space) -> Tensor:
        if space == "mel":
            difference = self._transform(predicted) - self._measured_features
        else:
            difference = predicted - self.measured
        return difference.square().flatten(1).sum(1)

    @cached_property
    def _waveform_weight(self) -> Tensor:
        """Weight of the waveform's squared error in the misfit of both, one value an item."""
        energy = self.measured.square().flatten(1).sum(1)
        return torch.where(energy > 0, self._measured_features[0].numel() / energy, 0.0)

    def floor(self, space: Space = "mel") -> Tensor | float:
        """Estimate ``E ||T (y + n) - T y||^2``, the misfit that noise alone explains; 0 without noise.

        A smaller misfit fits the noise. One fixed draw stands for the mean: it is over thousands of values.

        Args:
            space: mel, waveform or both.

        Returns:
            One value an item, (batch,), or 0 for all.
        """
        if isinstance(self.noise, float) and self.noise == 0:
            return 0.0
        return self._floors[space]

    @cached_property
    def _floors(self) -> dict[Space, Tensor]:
        draw = torch.randn(self.measured.shape[1:], generator=torch.Generator().manual_seed(0))
        noise = self.noise * draw.to(self.measured)[None]
        floors: dict[Space, Tensor] = {"waveform": noise.expand_as(self.measured).square().flatten(1).sum(1)}
        if self.features is not None:
            change = self._transform(self.measured + noise) - self._measured_features
            floors["mel"] = change.square().flatten(1).sum(1)
            floors["both"] = floors["mel"] + self._waveform_weight * floors["waveform"]
        return floors
