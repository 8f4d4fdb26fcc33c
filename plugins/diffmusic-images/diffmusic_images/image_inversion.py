"""Edit-friendly inversion of an image, with its latent code changed before it is replayed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator
from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.editor.inversion import independent_path, invert, posterior_path, replay, shifted
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.solver import deviations
from diffmusic_images.grid import pixels_of, rows_of

PAINT = "write LEFT:RIGHT,TOP:BOTTOM,RRGGBB in pixels and hexadecimal, such as 64:192,32:96,ff0000"


def _parse_paint(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+):(\d+),(\d+):(\d+),#?([0-9a-fA-F]{6})", value.strip())
    if not found or int(found[1]) >= int(found[2]) or int(found[3]) >= int(found[4]):
        raise ValueError(PAINT)
    return (*(int(found[n]) for n in range(1, 5)), *(int(found[5][n : n + 2], 16) for n in (0, 2, 4)))


Paint = Annotated[tuple[int, int, int, int, int, int, int], BeforeValidator(_parse_paint)]
"""A box and its colour, ``(left, right, top, bottom, red, green, blue)``."""


@dataclass(frozen=True)
class ImageInversion:
    """Edit-friendly inversion of an image, whose latent code may be moved, mirrored or painted on.

        z_i  = z_0 + sigma_i n_i                          or CycleDiffusion's path, to compare with
        r_i  = z_{i+1} - m(z_i)                           under the source
        z~   <- m~(z~) + r_i + s_i amount B (M - D~)      under the target

    ``right``, ``down`` and ``mirror`` change every part of the code (section 5, figures 7 and 13), by whole places of
    the latent, which are 8 pixels. ``paint`` draws boxes of a colour: ``M`` are the latents of the painted image, ``B``
    is 1 where a box covers the latent, and the term is eq. 7 at the levels between ``lowest`` and ``highest`` (figure
    8). The published strokes are ``amount`` 0.05.

    Source: I. Huberman-Spiegelglas et al., "An edit friendly DDPM noise space", arXiv:2304.06140, eq. 5 to 7; for the
    other path C. H. Wu and F. De la Torre, arXiv:2210.05559, Algorithm 1.
    """

    right: Annotated[int, Doc("pixels by which the image moves to the right")] = 0
    down: Annotated[int, Doc("pixels by which it moves down")] = 0
    mirror: Annotated[bool, Doc("left and right are exchanged")] = False
    paint: Annotated[tuple[Paint, ...], Doc("LEFT:RIGHT,TOP:BOTTOM,RRGGBB; may be repeated")] = ()
    amount: Annotated[float, Field(ge=0), Doc("how hard paint is pressed, a step")] = 0.05
    lowest: Annotated[float, Field(ge=0), Doc("noise level below which nothing is painted")] = 0.0
    highest: Annotated[float, Field(gt=0), Doc("noise level above which nothing is painted")] = float("inf")
    path: Annotated[Literal["independent", "posterior"], Doc("posterior is CycleDiffusion's")] = "independent"
    eta: Annotated[float, Field(gt=0, le=1), Doc("fresh noise of the sampler that is inverted")] = 1.0

    def edit(self, task: Edit) -> Tensor:
        drawn = independent_path(task) if self.path == "independent" else posterior_path(task, self.eta)
        code = invert(task, drawn, self.eta)
        for pixels, dim in ((self.down, 3), (self.right, 4)):
            if places := round(pixels * task.frame_rate):
                code = code.changed(lambda x, places=places, dim=dim: shifted(x, places, dim))
        if self.mirror:
            code = code.changed(lambda x: x.flip(-1))
        if not self.paint:
            return replay(task, code, self.eta)
        painted, covered = self._painted(task)

        def drift(index: int, clean: Tensor) -> Tensor | float:
            sigma = task.sigmas[index]
            if not self.lowest <= sigma <= self.highest:
                return 0.0
            _, s = deviations(sigma, task.sigmas[index + 1], self.eta)
            return s * self.amount * covered * (task.each_target(painted) - clean)

        return replay(task, code, self.eta, drift=drift)

    def _painted(self, task: Edit) -> tuple[Tensor, Tensor]:
        """Return ``M``, (items, channels, rows, columns), and ``B``, (rows, columns)."""
        if task.encode is None or task.audio is None:
            raise InputError("paint is put on pixels, and this edit has none")
        image = rows_of(task.audio, task.sample_rate).clone()
        mask = torch.zeros_like(image[:1, :1])
        for left, right, top, bottom, *colour in self.paint:
            if left >= image.shape[3] or top >= image.shape[2]:
                raise InputError(f"`paint`: the box {left}:{right},{top}:{bottom} lies outside of the image")
            image[:, :, top:bottom, left:right] = image.new_tensor(colour)[:, None, None] / 127.5 - 1
            mask[:, :, top:bottom, left:right] = 1
        covered = torch.nn.functional.interpolate(mask, task.z0.shape[2:], mode="area")
        return task.encode(pixels_of(image, task.audio.shape[-1])), (covered[0, 0] >= 0.5).to(task.z0)
