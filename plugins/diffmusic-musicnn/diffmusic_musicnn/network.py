"""musicnn's network in torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

TIMBRAL = ((7, 38), (7, 67))
"""Frames and bands of the filters that look at timbre: 0.4 and 0.7 of all 96 bands."""
TEMPORAL = (128, 64, 32)
"""Frames of the filters that look at rhythm."""
TIMBRES, RHYTHMS, WIDTH, PENULTIMATE, TAGS = 204, 51, 64, 200, 50
EPSILON = 1e-3
"""Added to variances by the batch normalisation of TensorFlow's layers."""


class MusiCNN(nn.Module):
    """Tags of log-mel patches, in evaluation: dropout is left out, batch statistics are those learned.

    A batch norm follows every rectifier. Five convolutions, each with its maximum over bands, give 561 features a
    frame; three more along time, the last two residual, 64 each. All 753 are pooled over time, by maximum and mean side
    by side; a dense layer of 200 and one of 50 follow. Source: J. Pons and X. Serra, "musicnn: pre-trained
    convolutional neural networks for music audio tagging", arXiv:1909.06654.
    """

    def __init__(self) -> None:
        super().__init__()
        front = len(TIMBRAL) * TIMBRES + len(TEMPORAL) * RHYTHMS
        self.input_norm = nn.BatchNorm2d(1, EPSILON)
        self.timbral = nn.ModuleList(nn.Conv2d(1, TIMBRES, kernel, padding=(3, 0)) for kernel in TIMBRAL)
        self.temporal = nn.ModuleList(nn.Conv2d(1, RHYTHMS, (frames, 1)) for frames in TEMPORAL)
        widths = [TIMBRES] * len(TIMBRAL) + [RHYTHMS] * len(TEMPORAL)
        self.front_norms = nn.ModuleList(nn.BatchNorm2d(width, EPSILON) for width in widths)
        self.middle = nn.ModuleList(nn.Conv1d(width, WIDTH, 7, padding=3) for width in (front, WIDTH, WIDTH))
        self.middle_norms = nn.ModuleList(nn.BatchNorm1d(WIDTH, EPSILON) for _ in range(3))
        pooled = 2 * (front + 3 * WIDTH)
        self.pooled_norm = nn.BatchNorm1d(pooled, EPSILON)
        self.dense = nn.Linear(pooled, PENULTIMATE)
        self.dense_norm = nn.BatchNorm1d(PENULTIMATE, EPSILON)
        self.output = nn.Linear(PENULTIMATE, TAGS)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits, (batch, 50), and the penultimate layer, (batch, 200), of patches (batch, frames, 96)."""
        x = self.input_norm(patches[:, None])
        # Even kernels: TensorFlow's "same" has the odd frame of its padding after the end.
        rhythms = [nn.functional.pad(x, (0, 0, (n - 1) // 2, n // 2)) for n in TEMPORAL]
        heard = [conv(x) for conv in self.timbral]
        heard += [conv(padded) for conv, padded in zip(self.temporal, rhythms, strict=True)]
        front = [norm(maps.relu()).amax(-1) for norm, maps in zip(self.front_norms, heard, strict=True)]
        features = [torch.cat(front, 1)]
        for number, (conv, norm) in enumerate(zip(self.middle, self.middle_norms, strict=True)):
            layer = norm(conv(features[-1]).relu())
            features.append(layer + features[-1] if number else layer)
        sequence = torch.cat(features, 1)
        pooled = torch.stack([sequence.amax(-1), sequence.mean(-1)], -1).flatten(1)
        penultimate = self.dense_norm(self.dense(self.pooled_norm(pooled)).relu())
        return self.output(penultimate), penultimate

    @classmethod
    def of(cls, variables: Mapping[str, np.ndarray]) -> MusiCNN:
        """Make the network of the variables of musicnn's checkpoint, by TensorFlow's names.

        Raises:
            KeyError, RuntimeError: For variables that are missing, or of another shape.
        """
        model = cls().eval()
        norms = [model.input_norm, *model.front_norms, *model.middle_norms, model.pooled_norm, model.dense_norm]
        convolutions = [*model.timbral, *model.temporal, *model.middle]
        for number, norm in enumerate(norms):
            name = f"batch_normalization{f'_{number}' if number else ''}"
            own = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
            for ours, theirs in own.items():
                _fill(getattr(norm, ours), variables[f"{name}/{theirs}"])
        for number, layer in enumerate([*convolutions, model.dense, model.output]):
            dense = number - len(convolutions)
            name, count = ("conv2d", number) if dense < 0 else ("dense", dense)
            name += f"_{count}" if count else ""
            kernel = variables[f"{name}/kernel"]
            if layer in model.middle:
                kernel = kernel[:, :, 0]  # (frames, features, 1, out): the features are what torch calls channels
            # TensorFlow has what goes in and what comes out last, torch first.
            order = (-1, -2, *range(kernel.ndim - 2))
            _fill(layer.weight, kernel.transpose(order))
            _fill(layer.bias, variables[f"{name}/bias"])
        return model


def _fill(parameter: Tensor, values: np.ndarray) -> None:
    if parameter.shape != values.shape:
        raise RuntimeError(f"a variable of the shape {values.shape}, not {tuple(parameter.shape)}")
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values.copy()))
