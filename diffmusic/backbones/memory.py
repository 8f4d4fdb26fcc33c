"""Less memory for the same result: activations computed again on the way back, and long audio in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recompute(module: nn.Module, kinds: Iterable[str]) -> None:
    """Let every sub-module whose class has one of these names forget its activations, and compute them again when
    gradients are asked for. Values and gradients stay the same; the forward pass is made twice.

    diffusers does this for some modules only, and wrongly for AudioLDM2's UNet, where it hands the mask of the second
    text to the first attention.
    """
    names = set(kinds)
    for each in module.modules():
        if type(each).__name__ in names:
            each.forward = MethodType(_recomputed, each)  # type: ignore[method-assign]


def _recomputed(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
    # Bound to the module: in a copy of it, whose layers may have changed, it has to be the copy's own layers that run.
    return _forgetful(partial(type(self).forward, self))(*args, **kwargs)


def _forgetful(forward: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return wrapped


def in_pieces(
    function: Callable[[Tensor], Tensor], x: Tensor, size: int, context: int, inward: int = 1, outward: int = 1
) -> Tensor:
    """``function(x)``, piece by piece along the last axis, with one piece's activations in memory at a time.

    function: maps ``frames * inward`` samples to ``frames * outward`` (a few more at the end are allowed), and no
    sample of its output depends on more than ``context`` frames to either side: the pieces overlap by as much, and
    the result is the same to rounding. size: frames of a piece.
    """
    frames = x.shape[-1] // inward
    if frames <= size + 2 * context:
        return function(x)
    pieces = []
    for start in range(0, frames, size):
        stop = min(start + size, frames)
        first, last = max(0, start - context), min(frames, stop + context)
        piece = _forgetful(function)(x[..., first * inward : last * inward])
        end = None if stop == frames else (stop - first) * outward
        pieces.append(piece[..., (start - first) * outward : end])
    return torch.cat(pieces, dim=-1)


def hifigan_context(config: Any) -> int:
    """Frames to either side of its own that a sample of a HiFi-GAN depends on, rounded up.

    Counted from the input: at the rate of each stage the reach grows by that of its transposed convolution and of the
    widest residual block.
    """
    reach, rate = 3.0, 1
    for upsampling, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
        reach += kernel / (rate * upsampling) + 1 / rate
        rate *= upsampling
        blocks = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
        reach += (
            max(sum((size - 1) // 2 * (dilation + 1) for dilation in dilations) for size, dilations in blocks) / rate
        )
    return int(reach + 3 / rate) + 1


def oobleck_context(config: Any) -> int:
    """Context of an Oobleck autoencoder's decoder and of its encoder, in latent frames, counted likewise."""
    reach, rate = 3.0, 1
    for stride in reversed(config.downsampling_ratios):
        reach += 2 / rate
        rate *= stride
        reach += 3 * (1 + 3 + 9) / rate
    return int(reach + 3 / rate) + 2
