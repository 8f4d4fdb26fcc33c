"""A failed solve is said: an estimate is compared with what was measured, and a filling with what lies around it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from diffmusic.audio.mel import LogMel, MelSpec
from diffmusic.errors import Diverged
from diffmusic.problem.bound import BoundOperator
from diffmusic.problem.operator import HasDamage, regions

NOTED, REFUSED = 12.0, 30.0
"""By how many dB what was filled in may leave the levels around it before it is said, and before it is an error."""
UNEXPLAINED = 1.5
"""Mean difference between the log-mels of what was measured and of what the estimate would have been measured as,
nats: a prior's round trip has 0.1 to 0.2."""
_AROUND, _BLOCK = 1.0, 0.1  # seconds
_BANDS = 62.5 * 2.0 ** np.arange(9)
_FLOOR = 1e-12


def doubts(
    bound: BoundOperator, estimate: Tensor, y: Tensor, highest: float, own: tuple[int, int] | None = None
) -> list[str]:
    """What speaks against an estimate, before it is finished: one sentence each, none for a solve that went well.

    Args:
        bound: the operator at the rate of the estimate.
        estimate: (items, channels, time).
        y: its measurement.
        highest: Hz, what the prior's band ends at; nothing above it is compared.
        own: samples ``[start, stop)`` whose gaps are judged, where the estimate is a passage of a recording, and others
            belong to the next one; by default all.

    Raises:
        Diverged: the estimate is not finite, or more than 30 dB off.
    """
    if not bool(torch.isfinite(estimate).all()):
        raise Diverged("the estimate is not finite")
    found = [each for each in (*_fillings(bound, estimate, y, own), *_misfit(bound, estimate, y, highest)) if each]
    return list(dict.fromkeys(found))


def _fillings(bound: BoundOperator, estimate: Tensor, y: Tensor, own: tuple[int, int] | None) -> Iterator[str]:
    """Compare what was filled in, block by block, with the blocks around it: a gap in every band, a rectangle in its
    own. Blocks lie inside of the damage or outside, so that neither leaks into the other."""
    rate, total = bound.rate, estimate.shape[-1]
    first, last = own or (0, total)
    begin = float(getattr(bound.operator, "offset", 0.0))
    gaps = bound.damage(total) if isinstance(bound.operator, HasDamage) else []
    rectangles = regions(bound.operator, total)
    places = [(start, stop, _BANDS) for start, stop in gaps]
    places += [(start, stop, _edges(low, min(high, rate / 2))) for start, stop, low, high in rectangles]
    for number, (start, stop, edges) in enumerate(places):
        if stop <= first or start >= last:
            continue
        name = f"{begin + start / rate:.2f}:{begin + stop / rate:.2f}"
        reach, size = round(_AROUND * rate), round(_BLOCK * rate)
        if stop - start < size:
            continue  # too short to have a level of its own
        around = _blocks(y, max(0, start - reach), start, size) + _blocks(y, stop, min(total, stop + reach), size)
        known = [_levels(block, rate, edges) for block in around if float(block.square().mean()) > 0]
        if not known or max(each[0] for each in known) < 10 * np.log10(2 * _FLOOR):
            continue  # silence around it, or in the band of a rectangle
        filled = np.array([_levels(block, rate, edges) for block in _blocks(estimate, start, stop, size)]).mean(0)
        what = "anything around it" if number < len(gaps) else "the same band around it"
        yield _said(name, filled, np.array(known), what)


def _edges(low: float, high: float) -> np.ndarray:
    """The octaves of a band: its bounds, and those of ``_BANDS`` between them."""
    return np.array([low, *(each for each in _BANDS if low * 1.1 < each < high / 1.1), high])


def _said(name: str, filled: np.ndarray, known: np.ndarray, what: str) -> str:
    """filled, (1 + bands,), and known, (blocks, 1 + bands): levels in dB, first of all and then of each band."""
    low, high = known[:, 0].min(), known[:, 0].max()
    level = max(0.0, filled[0] - high) - max(0.0, low - filled[0])
    text = _judged(name, level, f"than {what}")
    if text:
        return text
    shift = filled[0] - np.clip(filled[0], low, high)
    bands = filled[1:] - shift
    beyond = np.maximum(0, bands - known[:, 1:].max(0)) + np.maximum(0, known[:, 1:].min(0) - bands)
    heard = known[:, 1:].max(0) > known[:, 0].max() - 50
    off = float(beyond[heard].mean()) if heard.any() else 0.0
    return f"the spectrum at {name} s is {off:.0f} dB off what lies around it" if off > NOTED else ""


def _judged(name: str, change: float, than: str) -> str:
    word = "louder" if change > 0 else "quieter"
    text = f"what was filled in at {name} s is {abs(change):.0f} dB {word} {than}"
    if abs(change) > REFUSED:
        raise Diverged(text)
    return text if abs(change) > NOTED else ""


def _misfit(bound: BoundOperator, estimate: Tensor, y: Tensor, highest: float) -> Iterator[str]:
    predicted = bound.operator.forward(estimate)
    if bound.spectrogram is not None or y.ndim != 3:
        return
    length = min(y.shape[-1], predicted.shape[-1])
    rate = bound.measured_rate
    spec = MelSpec.at(rate)
    top = min(rate / 2, highest)
    spec = MelSpec(rate, spec.n_fft, spec.hop, max(1, round(spec.bands * 2 * top / rate)), high=top)
    log_mel = LogMel(spec)
    mels = [log_mel(each[..., :length].flatten(0, 1).float()) for each in (predicted, y)]
    loud = mels[1] > mels[1].max() - 9  # 78 dB below the loudest there is nothing to explain
    if bool(loud.any()):
        off = float((mels[0] - mels[1]).abs()[loud].mean())
        if off > UNEXPLAINED:
            yield f"the estimate does not explain the measurement: it is {off:.1f} nats off where the music was heard"


def _blocks(x: Tensor, start: int, stop: int, size: int) -> list[Tensor]:
    return [x[..., first : first + size] for first in range(start, stop - size + 1, size)]


def _levels(block: Tensor, rate: int, edges: np.ndarray) -> np.ndarray:
    """Of a block, dB: all that lies in the bands, and each of them, between neighbouring edges in Hz."""
    audio = block.detach().double().reshape(-1, block.shape[-1]).numpy()
    power = np.square(np.abs(np.fft.rfft(audio * np.hanning(audio.shape[-1])))).mean(0) / audio.shape[-1] ** 2
    hertz = np.fft.rfftfreq(audio.shape[-1], 1 / rate)
    bands = [power[(hertz >= a) & (hertz < b)].sum() for a, b in pairwise(edges)]
    whole = power.sum() if edges is _BANDS else sum(bands)
    return 10 * np.log10(np.array([whole, *bands]) + _FLOOR)
