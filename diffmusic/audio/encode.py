"""Recordings as files: every sample rounded once, and everything that came with the audio put back around it."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import soundfile

from diffmusic.audio import attached
from diffmusic.audio.formats import BITS, loses, refusal

if TYPE_CHECKING:
    from diffmusic.audio.files import Recording

# libsndfile's Vorbis encoder overflows the stack when it is given minutes of audio in one call.
_BLOCK = 65536


def clipped(recording: Recording) -> int:
    """How many samples the subtype cannot hold because they exceed full scale."""
    bits = BITS.get(recording.subtype)
    if bits is None and not loses(recording.subtype):
        return 0
    top = 1.0 if bits is None else 1.0 - 2.0 ** (1 - bits)
    # Half a step above the largest code still rounds down to it.
    slack = 0.0 if bits is None else 2.0**-bits
    return int(np.sum((recording.samples > top + slack) | (recording.samples < -1.0 - slack)))


def encode(recording: Recording) -> bytes:
    """The file's bytes, with the tags, pictures and chunks that it came with.

    Integer subtypes are rounded to the nearest here, since libsndfile rounds down in some containers and not in others.
    Warns of what the format has no place for. Raises InputError if it refuses the audio.
    """
    samples = recording.samples.T
    kind = (recording.format, recording.subtype)
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(buffer, "w", recording.sample_rate, samples.shape[1], kind[1], format=kind[0]) as file:
            for start in range(0, len(samples), _BLOCK):
                file.write(_codes(samples[start : start + _BLOCK], recording.subtype))
    except (soundfile.LibsndfileError, ValueError) as error:
        raise refusal(kind, recording.sample_rate, samples.shape[1], error, None) from None
    target = io.BytesIO()
    lost = _attach(buffer, target, recording)
    if lost:
        warnings.warn(f"{recording.format} keeps no {', '.join(dict.fromkeys(lost))}", stacklevel=2)
    return target.getvalue()


def _attach(encoded: BinaryIO, target: BinaryIO, recording: Recording) -> list[str]:
    encoded.seek(0)
    same = recording.origin == (recording.samples.shape[-1], recording.sample_rate)
    return attached.attach(encoded, target, (recording.format, recording.subtype), recording.attached, same)


def _codes(samples: np.ndarray, subtype: str) -> np.ndarray:
    """Samples as libsndfile is given them."""
    bits = BITS.get(subtype)
    if bits is None:
        return samples if subtype == "DOUBLE" else samples.astype(np.float32)
    scale = 2.0 ** (bits - 1)
    codes = np.clip(np.rint(samples * scale), -scale, scale - 1).astype(np.int64)
    return (codes << (32 - bits)).astype(np.int32)
