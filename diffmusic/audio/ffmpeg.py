"""Audio that libsndfile does not read, such as the stems of an MP4 file, by the ffmpeg program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffmusic.errors import InputError

LEAD = 16384
"""Samples decoded before an excerpt and dropped: the first frame after a seek lacks its overlap with the one before."""


@dataclass(frozen=True)
class Stream:
    """One audio stream of a file: its rate in Hz, its channels, and its length in samples."""

    sample_rate: int
    channels: int
    samples: int


def streams(path: Path) -> list[Stream]:
    """The audio streams of a file. Raises InputError for a file that is none, and where ffprobe is missing."""
    fields = "stream=sample_rate,channels,duration"
    words = ("-v", "error", "-select_streams", "a", "-show_entries", fields, "-of", "json", str(path))
    found = json.loads(_run("ffprobe", words, path))["streams"]
    try:
        return [
            Stream(
                int(each["sample_rate"]), each["channels"], round(float(each["duration"]) * int(each["sample_rate"]))
            )
            for each in found
        ]
    except KeyError as error:
        raise InputError(f"{path}: a stream does not tell its {error}") from None


def decode(path: Path, found: Sequence[Stream], first: int, count: int) -> list[np.ndarray]:
    """``count`` samples from the sample ``first`` of every audio stream, (channels, time) each, float32: the same as in
    the whole of it. found: what ``streams`` says; all have one rate.

    Raises InputError for what cannot be decoded, and where ffmpeg is missing.
    """
    lead = min(first, LEAD)
    cut = f"atrim=start_sample={lead}:end_sample={lead + count}"
    parts = ";".join(f"[0:a:{k}]{cut}[part{k}]" for k in range(len(found)))
    joined = "".join(f"[part{k}]" for k in range(len(found))) + f"amerge=inputs={len(found)}[all]"
    # A seek, were it to 0, would pass over the frame before the first one, which that overlaps with.
    seek = ("-ss", f"{(first - lead) / found[0].sample_rate:.9f}") if first > lead else ()
    words = (
        "-v", "error", "-nostdin", *seek, "-i", str(path), "-filter_complex", f"{parts};{joined}", "-map", "[all]",
        "-f", "f32le", "-",
    )  # fmt: skip
    channels = [each.channels for each in found]
    samples = np.frombuffer(_run("ffmpeg", words, path), "<f4").reshape(-1, sum(channels)).T
    if samples.shape[-1] != count:
        raise InputError(f"{path}: {count} samples from {first} are wanted, and {samples.shape[-1]} are there")
    return [np.ascontiguousarray(part) for part in np.split(samples, np.cumsum(channels)[:-1])]


def _run(program: str, words: Sequence[str], path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if shutil.which(program) is None:
        raise InputError(f"{path} is read by the program {program}, which is not found: install ffmpeg")
    done = subprocess.run([program, *words], capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise InputError(f"{path} cannot be read by {program}: {lines[-1]}")
    return done.stdout


@dataclass(frozen=True)
class Whole:
    """The first sound track of a file. samples: (time, channels), float64, on disk. streams: how many tracks there are.

    format, subtype: its container and encoding, in capitals; PCM_16, PCM_24 or PCM_32 for one that loses nothing.
    """

    samples: np.ndarray
    sample_rate: int
    format: str
    subtype: str
    streams: int


_EXACT = ("alac", "flac", "ape", "wavpack", "tta", "mlp", "truehd", "shorten", "wmalossless", "als")


def whole(path: Path) -> Whole | None:
    """The sound of any file that ffmpeg reads; None where it finds none. Decoded into a file that is gone when it is no
    longer used, so that hours of it need no memory."""
    fields = "stream=sample_rate,channels,codec_name,bits_per_raw_sample,sample_fmt:format=format_name"
    words = ("-v", "error", "-select_streams", "a", "-show_entries", fields, "-of", "json", _argument(path))
    try:
        found = json.loads(_run("ffprobe", words, path))
    except InputError:
        return None
    if not found.get("streams"):
        return None
    first = found["streams"][0]
    rate, channels = int(first.get("sample_rate", 0)), int(first.get("channels", 0))
    if not rate or not channels:
        return None
    with tempfile.TemporaryFile() as file:
        decoding = ["-v", "error", "-nostdin", "-i", _argument(path), "-map", "0:a:0", "-f", "f64le", "-"]
        subprocess.run(["ffmpeg", *decoding], stdout=file, stderr=subprocess.DEVNULL, check=False)
        size = file.seek(0, os.SEEK_END) // (8 * channels) * channels
        if not size:
            return None
        samples = np.memmap(file, "<f8", "r", shape=(size // channels, channels))
    codec = first["codec_name"]
    exact = codec.startswith("pcm_") or codec in _EXACT
    bits = int(first.get("bits_per_raw_sample") or 0) or (16 if "16" in first.get("sample_fmt", "") else 32)
    depth = next(f"PCM_{most}" for most in (16, 24, 32) if bits <= most) if bits <= 32 else "DOUBLE"
    floating = first.get("sample_fmt", "").startswith(("flt", "dbl"))
    subtype = ("FLOAT" if floating else depth) if exact else codec.upper()
    kind = (path.suffix.lstrip(".") or found["format"]["format_name"].split(",")[0]).upper()
    return Whole(samples, rate, kind, subtype, len(found["streams"]))


def _argument(path: Path) -> str:
    """A path that no program takes for a flag or for an address."""
    return f"file:{path}"
