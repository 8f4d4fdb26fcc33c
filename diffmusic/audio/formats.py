"""Which kinds of files can be written, and which of them keeps a recording best."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from diffmusic.errors import InputError

FORMATS = {
    ".wav": "WAV",
    ".wave": "WAV",
    ".flac": "FLAC",
    ".ogg": "OGG",
    ".oga": "OGG",
    ".opus": "OGG",
    ".mp3": "MP3",
    ".aiff": "AIFF",
    ".aif": "AIFF",
    ".aifc": "AIFF",
    ".caf": "CAF",
    ".w64": "W64",
    ".rf64": "RF64",
    ".au": "AU",
    ".snd": "AU",
}
BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")
_EXACT = (*BITS, "FLOAT", "DOUBLE", "ULAW", "ALAW", "ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32")
"""Encodings whose samples come back as they were written once they have been read from one of them."""
_WRITABLE = (*_EXACT, "VORBIS", "OPUS", "MPEG_LAYER_III")
_PRECISION = {
    "IMA_ADPCM": 16, "MS_ADPCM": 16, "GSM610": 16, "G721_32": 16, "G723_24": 16, "G723_40": 16, "NMS_ADPCM_16": 16,
    "NMS_ADPCM_24": 16, "NMS_ADPCM_32": 16, "VOX_ADPCM": 16, "ULAW": 16, "ALAW": 16, "DWVW_12": 16, "DWVW_16": 16,
    "DWVW_24": 24, "ALAC_16": 16, "ALAC_20": 24, "ALAC_24": 24, "ALAC_32": 32, "DPCM_8": 8, "DPCM_16": 16,
}  # fmt: skip
"""Bits that hold every sample that a decoder of these makes."""


class Kind(Protocol):
    """A file as far as its kind goes."""

    @property
    def format(self) -> str: ...

    @property
    def subtype(self) -> str: ...


def container(path: Path) -> str:
    """libsndfile's format for a path. Raises InputError for an extension that cannot be written."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"{path}: unknown extension {path.suffix!r}; use one of {', '.join(FORMATS)}, such as "
            f"{path.with_suffix('.wav').name}"
        )
    return FORMATS[path.suffix.lower()]


def output_format(path: Path, like: Kind, subtype: str | None = None) -> tuple[str, str]:
    """The format and subtype for a path.

    Args:
        path: the file to be written.
        like: the file that it comes from. Its subtype is kept where the format is the same and writing it again
            changes nothing but what was changed; else the nearest that keeps the precision.
        subtype: the one that is asked for, in libsndfile's words.

    Raises:
        InputError: for an extension that cannot be written, and for a subtype that the format does not have.
    """
    name = container(path)
    if subtype is not None:
        wanted = subtype.upper().replace("-", "_")
        wanted = f"PCM_{wanted}" if wanted.isdigit() else wanted
        known = [each for each in soundfile.available_subtypes(name) if each in _WRITABLE]
        if wanted not in known:
            raise InputError(f"{path}: {name} has no subtype {subtype!r}; it has {', '.join(known)}")
        return (like.format if _same(name, like) else name), wanted
    if path.suffix.lower() == ".opus":
        return "OGG", "OPUS"
    if _same(name, like) and _written(like):
        return like.format, like.subtype
    precision = _PRECISION.get(like.subtype)
    source = f"PCM_{precision}" if precision else like.subtype
    bits = BITS.get(source, 32)
    choices = ["DOUBLE", "FLOAT"] if source == "DOUBLE" else ["FLOAT"] if source not in BITS else []
    choices += [each for each, depth in BITS.items() if depth >= bits] + ["PCM_24"]
    for each in choices:
        if soundfile.check_format(name, each):
            return name, each
    return name, soundfile.default_subtype(name)


def extension(like: Kind) -> str:
    """The extension of a file that keeps another one as it is: one of its own format, else of FLAC for what has lost
    nothing in Ogg, or of WAV."""
    if _written(like) and any(_same(name, like) for name in FORMATS.values()):
        return ".opus" if like.subtype == "OPUS" else next(e for e, name in FORMATS.items() if _same(name, like))
    return ".flac" if like.format in ("OGG", "OGA") and like.subtype in ("PCM_16", "PCM_24") else ".wav"


def loses(subtype: str) -> bool:
    """Whether writing it changes every sample."""
    return subtype in LOSSY


def check(path: Path, kind: tuple[str, str], sample_rate: int, channels: int) -> None:
    """Raise InputError if a file of that format and subtype cannot hold audio of that rate and number of channels."""
    try:
        with soundfile.SoundFile(io.BytesIO(), "w", sample_rate, channels, kind[1], format=kind[0]) as file:
            file.write(np.zeros((1, channels), dtype=np.int32 if kind[1] in BITS else np.float32))
    except (soundfile.LibsndfileError, ValueError) as error:
        raise refusal(kind, sample_rate, channels, error, path) from None


def refusal(kind: tuple[str, str], sample_rate: int, channels: int, error: Exception, path: Path | None) -> InputError:
    """What to say where libsndfile refuses to write."""
    why = str(getattr(error, "error_string", error)).removeprefix("Error : ")
    hint = ""
    if path is not None and kind[0] not in ("WAV", "WAVEX"):
        hint = f"; {path.with_suffix('.wav').name} can"
    name = f"{path}: " if path else ""
    return InputError(
        f"{name}{kind[0]} ({kind[1]}) cannot hold {channels} channels at {sample_rate} Hz{hint} ({why.rstrip('.')})"
    )


def _written(like: Kind) -> bool:
    """Whether a file of the kind of another can be written; an MP3 stream in a RIFF file can be read alone."""
    mpeg = like.subtype == "MPEG_LAYER_III" and like.format != "MP3"
    return like.subtype in _WRITABLE and not mpeg and soundfile.check_format(like.format, like.subtype)


def _same(name: str, like: Kind) -> bool:
    """Whether a file of that format may be of the kind of another: WAV also covers WAVEX and, for long files, RF64."""
    return like.format.startswith(name) or (name == "WAV" and like.format == "RF64")
