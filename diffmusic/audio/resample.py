"""Sample-rate conversion of recordings, by soxr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import soxr

from diffmusic.errors import InputError


def resample(samples: np.ndarray, rate_in: int, rate_out: int, length: int | None = None) -> np.ndarray:
    """Resample (..., time), band-limited, in the input's dtype, linear phase, very high quality.

    Raises InputError for a recording without samples.

    length: cut, or pad with zeros, to this many samples (the two roundings of a round trip need not agree).
    """
    if not samples.shape[-1]:
        raise InputError("the recording is too short: at the prior's rate no sample of it is left")
    if rate_in != rate_out:
        flat = samples.reshape(-1, samples.shape[-1])
        rows = [soxr.resample(row, rate_in, rate_out, quality="VHQ") for row in flat]
        samples = np.stack(rows).reshape(*samples.shape[:-1], -1)
    if length is None or samples.shape[-1] == length:
        return samples
    padding = [(0, 0)] * (samples.ndim - 1) + [(0, max(0, length - samples.shape[-1]))]
    return np.pad(samples[..., :length], padding)


def resampled(
    blocks: Iterable[np.ndarray], rate_in: int, rate_out: int, kind: type[np.floating[Any]] = np.float32
) -> Iterator[np.ndarray]:
    """Resample a signal that comes in blocks, (channels, time) each, in float32 or float64: the blocks that come of it
    hold the same samples as ``resample`` makes of the whole."""
    if rate_in == rate_out:
        yield from (np.asarray(block, dtype=kind) for block in blocks)
        return
    stream, channels = None, 0
    for block in blocks:
        if stream is None:
            channels = len(block)
            stream = soxr.ResampleStream(rate_in, rate_out, channels, dtype=kind.__name__, quality="VHQ")
        yield stream.resample_chunk(np.ascontiguousarray(block.T, dtype=kind)).T
    if stream is not None:
        yield stream.resample_chunk(np.zeros((0, channels), dtype=kind), last=True).T
