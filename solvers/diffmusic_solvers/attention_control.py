"""Attention control: an inversion replayed under the target, with attention and features of the source."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from diffmusic.editor.attention import Injected, Layers, Record, Taps
from diffmusic.editor.contract import Edit
from diffmusic.editor.inversion import Points, independent_points, replay
from diffmusic.editor.ode import ascent, descent
from diffmusic.editor.streamed_code import coded
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.prior.denoiser import Denoiser
from diffmusic.prior.guidance import Text
from diffmusic.prior.windowed import Windowed

Share = Annotated[float, Field(ge=0, le=1)]
CROSS = 0.6


@dataclass(frozen=True)
class AttentionControl:
    """Attention control: at each level the source's point ``z_i`` goes through the network first, under the source; the
    target's ``z~_i`` then takes parts of that pass instead of its own, in the same pass of guidance:

        z~_{i+1} = m~(z~_i; attention and features of z_i) + r_i                     ``inversion=ddpm``
        z~_{i+1} = the step of DDIM, from the top of the inverted path               ``inversion=ddim``

    ``cross``, ``own`` and ``features`` are shares of the levels, from the strength down, at which cross-attention maps
    (aligned by tokens: ``diffmusic.editor.token_alignment``), self-attention maps and features are the source's. The
    defaults are Prompt-to-Prompt's with this inversion, 0.6 and 0.2, of maps of at most 16 x 16; with DDIM it has 0.8
    and 0.4. Plug-and-Play is ``cross=0 own=0.5 features=0.8 layers=decoder``. ``guide`` is the cross-attention guidance
    of Zero-Shot I2I (0.1 there, 0.03 with this inversion; ``cross=0 own=0``): before each step

        z~ <- z~ - guide (1 + sigma^2) grad_z~ |A(z~) - A(z)|^2

    with ``A`` all cross-attention maps under the prompts; on ``x = z / sqrt(1 + sigma^2)`` it is ``x - guide grad_x``.

    With all at 0 it is ``ddpm-inversion`` bit for bit, and with ``cross=1 own=1 features=1 injected=all`` and equal
    guidance of source and target (or an empty source) the source's round trip. AudioLDM2 has cross- and self-attention;
    MusicLDM, AudioLDM and mini take text beside the time's embedding and have self-attention alone: there ``own`` and
    ``features`` apply, and text enters all the same, so that self-attention does not hold it back. One more pass of the
    source a level, where anything is controlled.

    Source: A. Hertz et al., arXiv:2208.01626; N. Tumanyan et al., arXiv:2211.12572; G. Parmar et al., arXiv:2302.03027;
    with the inversion: I. Huberman-Spiegelglas et al., arXiv:2304.06140, tables 1 to 4.
    """

    cross: Annotated[
        Share | None, Doc("share of the levels with the source's cross-attention; by default 0.6 where there is any")
    ] = None
    own: Annotated[Share, Doc("share of the levels with the source's self-attention")] = 0.2
    features: Annotated[Share, Doc("share of the levels with the source's features")] = 0.0
    layers: Annotated[Layers, Doc("self-attention of which layers: small, decoder or all")] = "small"
    injected: Annotated[Literal["one", "all"], Doc("features of one layer of the decoder, or of all")] = "one"
    guide: Annotated[float, Field(ge=0), Doc("weight of cross-attention guidance")] = 0.0
    inversion: Annotated[Literal["ddpm", "ddim"], Doc("what is replayed")] = "ddpm"
    eta: Annotated[float, Field(gt=0, le=1), Doc("fresh noise of the sampler that is inverted, of ddpm")] = 1.0

    @classmethod
    def example(cls) -> AttentionControl:
        return cls(cross=0.0, own=0.0)

    def edit(self, task: Edit) -> Tensor:
        path = independent_points(task) if self.inversion == "ddpm" else ascent(task).__getitem__
        if not (self.cross or self.cross is None or self.own or self.features or self.guide):
            return self._sampled(task, task, path, lambda index, z: z)
        taps = Taps(task.denoise.backbone, self.layers, self.injected)
        inner = task.denoise
        denoise = _Controlled(inner.backbone, inner.costs, inner.batch, taps=taps, task=task, path=path, editor=self)
        controlled = dataclasses.replace(task, denoise=denoise)
        if self.guide and isinstance(inner.backbone, Windowed):
            seconds = inner.backbone.backbone.excerpt_seconds
            raise InputError(f"`guide`: the gradient is of one excerpt of this prior, {seconds:.1f} s: give a shorter "
                             "recording or segment")  # fmt: skip
        with taps.installed():
            denoise.source(0)
            if not taps.reads_text and (self.cross or self.guide):
                raise InputError("this prior has self-attention only: `cross` and `guide` need a network that attends "
                                 "to its text, such as AudioLDM2's")  # fmt: skip
            return self._sampled(task, controlled, path, denoise.guided if self.guide else lambda index, z: z)

    def _sampled(self, task: Edit, controlled: Edit, path: Points, nudge: Any) -> Tensor:
        if self.inversion == "ddim":
            return descent(controlled, path)
        return replay(controlled, coded(task, self.eta), self.eta, nudge=nudge)

    def at(self, index: int, levels: int, reads_text: bool) -> Injected:
        """Return what a level takes from the source."""
        cross = (CROSS if self.cross is None else self.cross) if reads_text else 0.0
        return Injected(*(index < share * levels for share in (cross, self.own, self.features)))


@dataclass(frozen=True)
class _Controlled(Denoiser):
    """Denoiser of the targets, a row after the other, each with parts of its item's source."""

    taps: Taps = field(kw_only=True)
    task: Edit = field(kw_only=True)
    path: Points = field(kw_only=True)
    editor: AttentionControl = field(kw_only=True)
    known: dict[Any, Record] = field(kw_only=True, default_factory=dict)

    def __call__(self, z: Tensor, sigma: float | Sequence[float], text: Text | Sequence[Text]) -> Tensor:
        assert isinstance(sigma, float)
        assert not isinstance(text, Text)
        index = self.task.sigmas.index(sigma)
        injected = self.editor.at(index, len(self.task.sigmas) - 1, self.taps.reads_text)
        if injected == Injected():
            return super().__call__(z, sigma, text)
        source, rows = self.source(index), []
        for row, each in enumerate(text):
            parts = []
            for condition in each.passes:
                record, before = self._theirs(source, row, each, condition)
                with self.taps.injecting(record, injected, before, condition):
                    parts.append(super().__call__(z[row : row + 1], sigma, [Text((condition,))])[0])
            rows.append(each.combine(parts))
        return torch.stack(rows)

    def source(self, index: int) -> dict[Any, Record]:
        """Record the source at a level, each item under each of its passes; the level before is forgotten."""
        if (index, 0, 0) not in self.known:
            self.known.clear()
            for item in range(len(self.task.z0)):
                for turn, condition in enumerate(self.task.source.passes):
                    with self.taps.recording() as record:
                        point = self.path(index)[item : item + 1]
                        super().__call__(point, self.task.sigmas[index], [Text((condition,))])
                    self.known[index, item, turn] = record
        return {(item, turn): record for (_, item, turn), record in self.known.items()}

    def _theirs(self, source: dict[Any, Record], row: int, text: Text, condition: Any) -> tuple[Record, Any]:
        """Return the source's pass of the same kind: prompt to prompt, contrast to contrast if it has one."""
        passes = self.task.source.passes
        turn = len(passes) - 1 if text.guided and condition is text.contrast else 0
        return source[row % len(self.task.z0), turn], passes[turn]

    def guided(self, index: int, z: Tensor) -> Tensor:
        """Move latents towards the source's cross-attention maps; the gradient is of one pass under the prompt."""
        source, moved = self.source(index), []
        plain = Denoiser(self.backbone, self.costs, None)
        for row, text in enumerate(self.task.texts):
            condition = text.conditions[0]
            record, before = self._theirs(source, row, text, condition)
            with torch.enable_grad():
                point = z[row : row + 1].detach().requires_grad_()
                with self.taps.comparing(record, before, condition) as distances:
                    plain(point, self.task.sigmas[index], Text((condition,)))
                    # Within, because activations that are computed again pass the taps again.
                    (slope,) = torch.autograd.grad(torch.stack(distances).sum(), point)
            self.costs.network_backward += 1
            moved.append((point - self.editor.guide * (1 + self.task.sigmas[index] ** 2) * slope).detach())
        return torch.cat(moved)
