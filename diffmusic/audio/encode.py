"""Recordings as files: every sample rounded once, and everything that came with the audio put back around it."""

from __future__ import annotations

import io
import tempfile
import warnings
from typing import Any, BinaryIO

import numpy as np
import soundfile

from diffmusic.audio import attached
from diffmusic.audio.formats import BITS, loses, refusal
from diffmusic.audio.recording import Recording
from diffmusic.audio.signal import Samples, Signal

# libsndfile's Vorbis encoder overflows the stack when it is given minutes of audio in one call.
_BLOCK = 65536
_IN_MEMORY = 1 << 24
"""Bytes of an encoded file that are kept in memory; more lie in a temporary file until the rest is put around them."""


def clipped(recording: Recording) -> int:
    """How many samples the subtype cannot hold because they exceed full scale."""
    return exceeding(recording.samples, recording.subtype)


def exceeding(samples: np.ndarray, subtype: str) -> int:
    """How many of some samples a subtype cannot hold."""
    bits = BITS.get(subtype)
    if bits is None and not loses(subtype):
        return 0
    top = 1.0 if bits is None else 1.0 - 2.0 ** (1 - bits)
    # Half a step above the largest code still rounds down to it.
    slack = 0.0 if bits is None else 2.0**-bits
    return int(np.sum((samples > top + slack) | (samples < -1.0 - slack)))


def encode(recording: Recording) -> bytes:
    """The file's bytes, with the tags, pictures and chunks that it came with.

    Warns of what the format has no place for. Raises InputError if it refuses the audio.
    """
    target = io.BytesIO()
    write(Samples(recording.samples), recording, target)
    return target.getvalue()


def write(signal: Signal, like: Recording, target: BinaryIO) -> int:
    """Write a signal, block by block, as a file of the kind and with the attachments of a recording.

    Integer subtypes are rounded to the nearest here, since libsndfile rounds down in some containers and not in others.
    Warns of what the format has no place for.

    Args:
        signal: the audio.
        like: rate, format, subtype, and what is attached; none of its samples is looked at.
        target: an empty file, open for reading and writing.

    Returns:
        How many samples exceeded full scale and are clipped.

    Raises:
        InputError: the format refuses the audio.
    """
    kind, over = (like.format, like.subtype), 0
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
        buffer: Any = spool
        try:
            file = soundfile.SoundFile(buffer, "w", like.sample_rate, signal.channels, kind[1], format=kind[0])
        except (soundfile.LibsndfileError, ValueError) as error:
            raise refusal(kind, like.sample_rate, signal.channels, error, None) from None
        with file:
            for block in signal.blocks():
                over += exceeding(block, like.subtype)
                for start in range(0, block.shape[-1], _BLOCK):
                    file.write(_codes(block[:, start : start + _BLOCK].T, like.subtype))
        buffer.seek(0)
        same = like.origin == (signal.samples, like.sample_rate)
        lost = attached.attach(buffer, target, kind, like.attached, same)
    if lost:
        warnings.warn(f"{like.format} keeps no {', '.join(dict.fromkeys(lost))}", stacklevel=2)
    return over


def _codes(samples: np.ndarray, subtype: str) -> np.ndarray:
    """Samples as libsndfile is given them."""
    bits = BITS.get(subtype)
    if bits is None:
        return samples if subtype == "DOUBLE" else samples.astype(np.float32)
    scale = 2.0 ** (bits - 1)
    codes = np.clip(np.rint(samples * scale), -scale, scale - 1).astype(np.int64)
    return (codes << (32 - bits)).astype(np.int32)
