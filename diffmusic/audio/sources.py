"""Where the samples of a file come from: its length is what can be decoded, whatever a header says.

libsndfile believes headers, reads the first of several joined streams, and gives up on a damaged FLAC file. So the
frames of MP3, the pages of Ogg, and the chunks of RIFF and AIFF files are looked at here before it is asked.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import soundfile

from diffmusic.audio import attached, chunks, ffmpeg, flac, mpeg, ogg
from diffmusic.audio.overlay import Overlay
from diffmusic.audio.source import Piece, Source
from diffmusic.errors import InputError

_OPUS_CLOCK = 48000
_OPUS_SETTLES = 0.08
"""Seconds that an Opus decoder needs until it is right, where it begins in the middle (RFC 7845, section 4.6)."""


def find(path: Path) -> Source:
    """The samples of a file. Raises InputError for whatever is not audio that can be read."""
    try:
        with path.open("rb") as file:
            return _find(path, file)
    except (soundfile.LibsndfileError, TypeError) as error:  # soundfile has a TypeError for headerless *.raw
        return _by_ffmpeg(path, str(getattr(error, "error_string", error)))


def mended(path: Path) -> Source | None:
    """The whole frames of a FLAC file that libsndfile has given up on; None where there are none."""
    with path.open("rb") as file:
        data = attached.mapped(file)
        found, total = flac.runs(data)
    if not found:
        return None
    pieces, lost, at = [], [], 0
    for run in found:
        with soundfile.SoundFile(io.BytesIO(run.data)) as opened:
            rate, channels, subtype, samples = opened.samplerate, opened.channels, opened.subtype, opened.frames
        pieces.append(Piece(run.start, samples, _in_memory(run.data)))
        if run.start > at:
            lost.append((at, run.start))
        at = run.start + samples
    believed = total <= 2 * at  # a longer hole is a header that is wrong, and may claim days of silence
    if at < total and believed:
        lost.append((at, total))
    source = Source(path, rate, channels, max(at, total) if believed else at, "FLAC", subtype, pieces, tuple(lost))
    return source if believed else _short(source, total)


def _find(path: Path, file: BinaryIO) -> Source:
    layout = chunks.form(file)
    if layout:
        return _chunked(path, file, layout)
    data = attached.mapped(file)
    if data[:4] == b"OggS":
        links = ogg.links(data)
        if links and (len(links) > 1 or len(links[0].pieces) != 1 or not links[0].ended):
            return _linked(path, links)
    elif mpeg.is_frame(data, mpeg.tags_end(data)) and (stream := mpeg.scan(data)):
        return _mpeg(path, data, stream)
    return _plain(path, lambda: soundfile.SoundFile(_name(path)))


def _plain(path: Path, opener: Callable[[], soundfile.SoundFile], *notes: str) -> Source:
    with opener() as file:
        kind = (file.samplerate, file.channels, file.frames, file.format, file.subtype)
    return Source(path, *kind, pieces=(Piece(0, kind[2], opener),), notes=notes)


def _chunked(path: Path, file: BinaryIO, layout: chunks.Form) -> Source:
    """A RIFF, AIFF or CAF file, whose chunk of samples may be shorter or longer than it says."""
    found = [chunk for chunk in chunks.find(file, layout)[0] if chunk.name == layout.data]
    if not found:
        return _plain(path, lambda: soundfile.SoundFile(_name(path)))
    data = found[0]
    hidden = data.size > data.promised and layout.width == 4 and layout.order == "little"

    def opener() -> soundfile.SoundFile:
        return soundfile.SoundFile(Overlay(path, data.at - 4, b"\xff" * 4) if hidden else _name(path))

    source = _plain(path, opener)
    with opener() as opened:
        width = data.size / max(1, opened.frames)
    if hidden and data.promised:
        told = f"holds {source.samples / source.sample_rate:.3f} s of audio, of which its header names "
        return _noted(source, told + f"{data.promised / width / source.sample_rate:.3f} s: all of it is read")
    # All ones is what is written where the length is not known.
    known = data.promised != 2 ** (8 * layout.width) - 1 and source.samples
    return _short(source, round(data.promised / width)) if known and data.promised > data.size else source


def _mpeg(path: Path, data: bytes, stream: mpeg.Stream) -> Source:
    """An MP3 file, of which libsndfile is shown a mended copy where it is not what it says."""
    believed = stream.faithful or stream.promised is None or stream.header.layer != 3
    if believed:
        source = _plain(path, lambda: soundfile.SoundFile(_name(path)))
        if stream.faithful or (not stream.holes and stream.samples <= source.samples + stream.header.samples):
            return source
        if stream.header.layer != 3:
            return _by_ffmpeg(path, "it is damaged, or holds more audio than its header says")
        promised = source.samples
    else:
        promised = stream.promised_samples
    content, skip = stream.mended()
    opener = _in_memory(content)
    source = _plain(path, opener)
    samples = source.samples - skip
    lost = tuple((max(0, a), min(b, samples)) for a, b in stream.lost if a < samples)
    whole = replace(source, samples=samples, pieces=(Piece(0, samples, opener, skip),), lost=lost)
    if stream.promised is not None and stream.frames < stream.promised:
        return _short(whole, promised)
    if not stream.holes and samples > promised:
        told = f"holds {samples / whole.sample_rate:.3f} s of audio, of which its header lets "
        return _noted(whole, told + f"{promised / whole.sample_rate:.3f} s be seen: all of it is read")
    return whole


def _linked(path: Path, links: Sequence[ogg.Link]) -> Source:
    """Streams of Ogg that follow each other, with holes where pages are missing."""
    pieces: list[Piece] = []
    lost: list[tuple[int, int]] = []
    kinds, at, shift = [], 0, 0
    for link in links:
        begin = at
        for number, piece in enumerate(link.pieces):
            with soundfile.SoundFile(io.BytesIO(piece.data)) as file:
                kinds.append((file.samplerate, file.channels, file.subtype))
                samples, opus = file.frames, file.subtype == "OPUS"
                clock = file.samplerate / (_OPUS_CLOCK if opus else file.samplerate)
            # The first piece may begin anywhere by the stream's clock; the others stand where that says.
            end = round(piece.granule * clock)
            if not number:
                shift = end - samples - begin
            start = end - shift - samples
            if start > at:
                lost.append((at, start + round(_OPUS_SETTLES * kinds[-1][0] * opus)))
            pieces.append(Piece(start, samples, _in_memory(piece.data)))
            at = start + samples
    if not kinds:
        raise InputError(f"{path} is not audio that can be read: not one page of it is whole")
    if len(set(kinds)) > 1:
        told = " and ".join(f"{channels} channels at {rate} Hz" for rate, channels, _ in dict.fromkeys(kinds))
        raise InputError(f"{path} holds streams of several kinds one after the other, {told}: split it first")
    rate, channels, subtype = kinds[0]
    source = Source(path, rate, channels, at, "OGG", subtype, pieces, tuple(lost))
    if len(links) > 1:
        source = _noted(source, f"holds {len(links)} joined streams, {at / rate:.3f} s in all: all are read")
    if not links[-1].ended:
        source = _noted(source, f"breaks off: its last page is missing, {at / rate:.3f} s could be read")
    return source


def _by_ffmpeg(path: Path, why: str) -> Source:
    """What the program ffmpeg makes of a file."""
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        raise InputError(
            f"{path} is not audio that can be read without the program ffmpeg ({why}): install it for M4A, WMA, WebM, "
            "videos and more"
        )
    found = ffmpeg.whole(path)
    if found is None:
        raise InputError(f"{path} is not audio that can be read, by libsndfile or by ffmpeg: {why}")
    more = (f"holds {found.streams} sound tracks: the first one is read",) if found.streams > 1 else ()
    samples, channels = found.samples.shape
    return Source(
        path, found.sample_rate, channels, samples, found.format, found.subtype, notes=more, decoded=found.samples
    )


def _short(source: Source, promised: int) -> Source:
    rate = source.sample_rate
    told = f"promises {promised / rate:.3f} s in its header, {source.samples / rate:.3f} s could be read"
    return _noted(source, told)


def _noted(source: Source, note: str) -> Source:
    return replace(source, notes=(*source.notes, note))


def _in_memory(data: bytes) -> Callable[[], soundfile.SoundFile]:
    return lambda: soundfile.SoundFile(io.BytesIO(data))


def _name(path: Path) -> bytes | str:
    """A path as libsndfile is given it: bytes, since a name may be in no encoding."""
    return os.fsencode(path) if os.name == "posix" else str(path)
