"""Inverse problem: the operator, the measurement, and the misfit of an estimate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from diffmusic.errors import InputError
from diffmusic.problem.features import FeatureNoise, LogFeatures
from diffmusic.problem.noise import Noise
from diffmusic.problem.operator import Operator, seen

Space = Literal["mel", "waveform", "both"]


@dataclass(frozen=True)
class Guess:
    """What may have been in lost intervals.

    Attributes:
        audio: The guess, (batch, channels, time); outside of lost intervals it says nothing.
        spans: Every lost interval, ``(start, stop)`` in samples, and the deviation of the guess there in units of the
            latents; infinite where there is none.
    """

    audio: Tensor
    spans: Sequence[tuple[int, int, float]]


@dataclass(frozen=True)
class Problem:
    """Inverse problem: find ``x`` with ``A(g x) / g = y``, for items at the level the prior knows.

    Attributes:
        operator: ``A``, bound to the rate of ``measured``.
        measured: ``y``, (batch, ...), the measurement divided by its gain.
        gain: ``g``, (batch, 1, 1); the level of the recording relative to the prior's. ``A`` acts at the recording's
            own level, so that operators which are not linear (a clipper) see what they expect.
        features: ``T``, the map from a measurement to the space of the vocoder-mel constraint, (batch, ...).
        noise: ``n``, in the units of ``measured``, or the standard deviation of white noise; 0 for none. Where it is
            told, what is predicted carries its power.
        guess: What lost intervals may have held, from elsewhere in the recording; None where nothing tells.
    """

    operator: Operator
    measured: Tensor
    gain: Tensor | float = 1.0
    features: Callable[[Tensor], Tensor] | None = None
    noise: Noise | float = 0.0
    guess: Guess | None = None

    def predict(self, x: Tensor) -> Tensor:
        """Predict the measurement of an estimate, without noise: ``A(g x) / g``.

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

    @cached_property
    def told(self) -> Noise | None:
        """The noise; None where there is none."""
        if isinstance(self.noise, Noise):
            return self.noise
        return Noise.white(self.noise, self.measured, seen(self.operator)) if self.noise else None

    @cached_property
    def cleaned(self) -> Tensor:
        """A first guess at the measurement without its noise (``Noise.removed``); ``measured`` where there is none."""
        return self.told.removed(self.measured) if self.told else self.measured

    def misfit(self, x: Tensor, space: Space = "mel") -> Tensor:
        """Compute the misfit ``||T(A x + n) - T y||^2``, ``T`` the log-mel, or the identity for ``"waveform"``.

        ``T(A x + n)`` stands for its mean over the noise ``n`` that is told: the noise's power is added in each bin and
        frame of the spectrogram that a log-mel is made of (``LogFeatures.with_noise``), and in magnitudes, ``sqrt(S^2 +
        E |N|^2)``; a waveform is expected as it is. Without noise it is ``T A x``.

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
            return self._difference(predicted, space).square().sum(1)
        mel, waveform = (self._difference(predicted, each).square().sum(1) for each in ("mel", "waveform"))
        return mel + self._waveform_weight * waveform

    def residual(self, x: Tensor, space: Space = "mel") -> Tensor:
        """Compute ``T(A x + n) - T y``, whose squares add up to ``misfit``.

        Args:
            x: Audio, (batch, channels, time), at the prior's level.
            space: mel, waveform or both.

        Returns:
            The values of each item, (batch, values).

        Raises:
            InputError: The problem has no mel transform.
        """
        predicted = self.predict(x)
        if space != "both":
            return self._difference(predicted, space)
        waveform = self._waveform_weight.sqrt()[:, None] * self._difference(predicted, "waveform")
        return torch.cat([self._difference(predicted, "mel"), waveform], 1)

    def _difference(self, predicted: Tensor, space: Literal["mel", "waveform"]) -> Tensor:
        if space == "mel":
            difference = self._expected_features(predicted) - self._measured_features
        else:
            difference = (self.told.expected(predicted) if self.told else predicted) - self.measured
        return difference.flatten(1)

    def _expected_features(self, predicted: Tensor) -> Tensor:
        if self._feature_noise is None:
            return self._transform(predicted)
        assert isinstance(self.features, LogFeatures)
        return self.features.with_noise(predicted, self._feature_noise)

    @cached_property
    def _feature_noise(self) -> FeatureNoise | None:
        """The noise in the log-mel; None without noise, and for features that are no logarithms."""
        return self.told.features(self.features) if self.told and isinstance(self.features, LogFeatures) else None

    @cached_property
    def _waveform_weight(self) -> Tensor:
        """Weight of the waveform's squared error in the misfit of both, one value an item."""
        energy = self.measured.square().flatten(1).sum(1)
        return torch.where(energy > 0, self._measured_features[0].numel() / energy, 0.0)

    def floor(self, space: Space = "mel") -> Tensor | float:
        """Estimate the misfit of the truth, ``E ||T(A x) - T(A x + n)||^2``, ``T(A x)`` as in ``misfit``; 0 without
        noise.

        A smaller misfit fits the noise. For ``A x`` stands the measurement without what is likely to be noise
        (``Noise.removed``), and a few draws for the mean: it is over thousands of values.

        Args:
            space: mel, waveform or both.

        Returns:
            One value an item, (batch,), or 0 for all.
        """
        return self._floors[space] if self.told else 0.0

    @cached_property
    def _floors(self) -> dict[Space, Tensor]:
        assert self.told
        noise, clean = self.told, self.cleaned

        def mean(differences: list[Tensor]) -> Tensor:
            return torch.stack([each.square().flatten(1).sum(1) for each in differences]).mean(0)

        again = [noise.added(clean, draw) for draw in noise.measured]
        floors: dict[Space, Tensor] = {"waveform": mean([each - noise.expected(clean) for each in again])}
        if self.features is not None:
            expected = self._expected_features(clean)
            floors["mel"] = mean([self._transform(each) - expected for each in again])
            floors["both"] = floors["mel"] + self._waveform_weight * floors["waveform"]
        return floors
