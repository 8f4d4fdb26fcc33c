"""Taps in a diffusers UNet: a pass of the source is recorded, and parts of it are put into passes of a target.

    cross-attention    softmax(q k^T / sqrt(d)) of the source, its tokens aligned with the target's
    self-attention     q and k of the source, and with them the map; v stays the target's
    features           outputs of layers of the decoder

A recorded pass is computed by the network's own processors, so that taps change no bit of it. Passes correspond call by
call: a latent in windows has one call a window.

Source: A. Hertz et al., arXiv:2208.01626; N. Tumanyan et al., "Plug-and-play diffusion features", arXiv:2211.12572.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from diffmusic.editor.attention_processor import TappedAttention
from diffmusic.editor.token_alignment import aligned
from diffmusic.errors import InputError
from diffmusic.prior.windowed import Windowed

Layers = Literal["small", "decoder", "all"]
SMALL = 256
"""Most queries of a small self-attention layer: 16 x 16, as in Prompt-to-Prompt."""
Record = list[dict[str, Any]]
"""What was recorded in each call of the network, by the name of the layer."""


@runtime_checkable
class HasWords(Protocol):
    """Condition that knows its tokens."""

    def words(self) -> tuple[tuple[Tensor, Tensor | None], ...]:
        """Return what the network attends to, (1, tokens, dim), each with its tokens, (tokens,), or None where they
        are no words and correspond one by one."""
        ...


@runtime_checkable
class HasUNet(Protocol):
    """Backbone with a UNet of diffusers."""

    @property
    def unet(self) -> Any: ...


@dataclass(frozen=True)
class Injected:
    """Parts of the source that a pass of the target takes."""

    cross: bool = False
    own: bool = False
    features: bool = False


class Taps:
    """Taps in the network of a backbone, while ``installed``.

    Args:
        backbone: A backbone with a UNet of diffusers; Windowed is looked into.
        layers: Which self-attention layers are tapped: ``small`` have at most 256 queries (Prompt-to-Prompt),
            ``decoder`` are the decoder's from a third of its depth on (Plug-and-Play).
        features: Which outputs are features: that of the residual layer at a third of the decoder's depth (layer 4 of
            12, as in Plug-and-Play), or of ``all`` layers of the decoder.

    Attributes:
        reads_text: Whether a layer that attends to a text was recorded. Networks that take the text beside the time's
            embedding (MusicLDM, AudioLDM, mini) have none.

    Raises:
        InputError: The backbone has no such network.
    """

    def __init__(self, backbone: Any, layers: Layers, features: Literal["one", "all"]) -> None:
        inner = backbone.backbone if isinstance(backbone, Windowed) else backbone
        if not isinstance(inner, HasUNet):
            raise InputError(f"model {inner.describe().get('name')!r} has no UNet whose attention can be controlled")
        self.unet = inner.unet
        self._plain = dict(self.unet.attn_processors)
        deep = [f"up_blocks.{b}.resnets.{r}" for b, block in enumerate(self.unet.up_blocks)
                for r in range(len(block.resnets))]  # fmt: skip
        first = round(len(deep) / 3)
        rest = {name.rsplit(".", 2)[0] + ".attentions." + name.rsplit(".", 1)[1] for name in deep[first:]}
        ahead = {name for name in self._plain if any(name.startswith(f"{part}.") for part in rest)}
        self._chosen = ahead if layers == "decoder" else set(self._plain)
        self._most = SMALL if layers == "small" else None
        every = [f"up_blocks.{b}.{kind}.{n}" for b, block in enumerate(self.unet.up_blocks)
                 for kind in ("resnets", "attentions") for n in range(len(getattr(block, kind, ())))]  # fmt: skip
        self._features = every if features == "all" else [deep[min(first, len(deep) - 1)]]
        self._record: Record | None = None
        self._source: Record = []
        self._injected = Injected()
        self._pairs: list[tuple[Tensor, Tensor, Tensor]] = []
        self._call = -1
        self._distances: list[Tensor] | None = None
        self.reads_text = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Put the taps in; the network is as it was afterwards."""
        modules = dict(self.unet.named_modules())
        hooks = [self.unet.register_forward_pre_hook(self._begin)]
        hooks += [modules[name].register_forward_hook(self._feature(name)) for name in self._features]
        self.unet.set_attn_processor({name: TappedAttention(self, name, plain) for name, plain in self._plain.items()})
        try:
            yield
        finally:
            self.unet.set_attn_processor(dict(self._plain))
            for hook in hooks:
                hook.remove()

    @contextmanager
    def recording(self) -> Iterator[Record]:
        """Record the calls of the network within."""
        self._record, self._call = [], -1
        try:
            yield self._record
        finally:
            self._record = None

    @contextmanager
    def injecting(self, source: Record, injected: Injected, before: Any, after: Any) -> Iterator[None]:
        """Put parts of a recorded pass, under the condition ``before``, into those within, under ``after``."""
        self._source, self._injected, self._call = source, injected, -1
        self._pairs = _aligned_texts(before, after)
        try:
            yield
        finally:
            self._source, self._injected = [], Injected()

    @contextmanager
    def comparing(self, source: Record, before: Any, after: Any) -> Iterator[list[Tensor]]:
        """Yield what becomes the squared distance ``|A M - B|^2`` of the cross-attention maps of each layer within from
        those of a recorded pass, tokens that are new left out."""
        with self.injecting(source, Injected(), before, after):
            self._distances = []
            try:
                yield self._distances
            finally:
                self._distances = None

    @property
    def idle(self) -> bool:
        """Whether passes are neither recorded nor changed nor compared."""
        return self._record is None and self._distances is None and self._injected == Injected()

    def _begin(self, *_: Any) -> None:
        self._call += 1
        if self._record is not None:
            self._record.append({})

    def _feature(self, name: str) -> Any:
        def hook(_module: Any, _given: Any, output: Any) -> Any:
            if self._record is not None:
                self._record[-1][name] = output
            return self._source[self._call][name] if self._injected.features else None

        return hook

    def own_queries(self, name: str, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor] | None:
        """Record ``q`` and ``k`` of a self-attention layer, (rows, queries, dim); return those to use instead."""
        if name not in self._chosen or (self._most is not None and queries.shape[1] > self._most):
            return None
        if self._record is not None:
            self._record[-1][name] = (queries, keys)
        return self._source[self._call][name] if self._injected.own else None

    def cross_map(self, name: str, attended: Tensor, maps: Tensor) -> Tensor | None:
        """Record a cross-attention map, (rows * heads, queries, tokens); return the one to use instead.

        Args:
            name: The layer.
            attended: What it attends to, (rows, tokens, dim).
            maps: Its own maps.
        """
        if self._record is not None:
            self._record[-1][name], self.reads_text = maps, True
        if self._distances is None and not self._injected.cross:
            return None
        matrix, new = self.correspondence(attended)
        theirs: Tensor = self._source[self._call][name]
        moved = (theirs @ matrix.to(theirs)).to(maps)
        if self._distances is not None:
            self._distances.append(((moved - maps) * (1 - new).to(maps)).square().sum())
            return None
        return moved + maps * new.to(maps)

    def correspondence(self, attended: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``M`` and ``new`` (``diffmusic.editor.token_alignment``) for what a layer attends to."""
        for states, matrix, new in self._pairs:
            if states.shape[1:] == attended.shape[1:] and torch.equal(states[0].to(attended), attended[0]):
                return matrix, new
        raise InputError("the network attends to something that its condition does not name")


def _aligned_texts(before: Any, after: Any) -> list[tuple[Tensor, Tensor, Tensor]]:
    pairs = []
    for (a, words), (b, others) in zip(_words(before), _words(after), strict=True):
        if words is None or others is None:
            words, others = torch.arange(a.shape[1]), torch.arange(b.shape[1])
        pairs.append((b, *aligned(words.tolist(), others.tolist())))
    return pairs


def _words(condition: Any) -> tuple[tuple[Tensor, Tensor | None], ...]:
    if isinstance(condition, HasWords):
        return condition.words()
    return ((condition, None),) if isinstance(condition, Tensor) and condition.ndim == 3 else ()
