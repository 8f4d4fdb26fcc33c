"""What a file holds besides audio: read once, and put into the file of a result as it was, or as far as that goes."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from typing import BinaryIO

from diffmusic.audio import chunks, flac, mpeg, mutagen_tags
from diffmusic.audio import tags as tagging
from diffmusic.audio.tags import Tags

_CUE_SHEET, _SEEK_TABLE, _STREAM_INFO = 5, 3, 0
_CARRIED = {"WAV": "RIFF", "WAVEX": "RIFF", "RF64": "RIFF", "AIFF": "FORM", "CAF": "caff", "FLAC": "FLAC", "MP3": "MP3"}
"""Formats of libsndfile, by the layout that what is carried has."""


@dataclass(frozen=True)
class Attached:
    """Everything in a file but its audio.

    layout: RIFF, FORM, caff, FLAC or MP3, whose ``parts`` another file of this layout takes byte for byte; empty where
    there is only ``tags``. tags: the same as far as it has names in every kind of file.
    """

    layout: str = ""
    parts: tuple[chunks.Part, ...] = ()
    tags: Tags = field(default_factory=Tags)


def read(file: BinaryIO) -> Attached:
    """What an open file holds besides audio."""
    layout = chunks.form(file)
    if layout:
        parts = chunks.parts(file, layout)
        return Attached(layout.magic[0].decode(), parts, tagging.of_chunks(parts, layout))
    data = mapped(file)
    head = mpeg.tags_end(data)
    if data[head : head + 4] == b"fLaC":
        found = [(kind, content) for kind, content, _ in flac.blocks(data)]
        kept = tuple((bytes([kind]), content) for kind, content in found if kind not in (_STREAM_INFO, _SEEK_TABLE))
        own = Tags() if not head else tagging.of_id3(data[:head])
        return Attached("FLAC", (*((b"ID3", data[:head]),) * bool(head), *kept), tagging.of_blocks(found) | own)
    if data[:4] != b"OggS" and mpeg.is_frame(data, head):
        tail = data[mpeg.tags_start(data) :]
        own = tagging.of_id3(data[:head]) if head else Tags()
        return Attached("MP3", ((b"ID3", data[:head]), (b"TAG", tail)), own | mutagen_tags.read(file) if tail else own)
    return Attached("", (), mutagen_tags.read(file))


def mapped(file: BinaryIO) -> bytes:
    """The bytes of an open file, read as they are needed."""
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # type: ignore[return-value]
    except (OSError, ValueError):  # not a file, or an empty one
        file.seek(0)
        return file.read()


def attach(
    encoded: BinaryIO, target: BinaryIO, kind: tuple[str, str], attached: Attached, same_time: bool
) -> list[str]:
    """Write an encoded file, of libsndfile's format and subtype ``kind`` and without any tags, to ``target`` with what
    is attached.

    same_time: whether its samples are those of the file that it comes from, so that places in it still are right.
    Returns the names of what could not be kept.
    """
    wanted, lost = _CARRIED.get(kind[0], ""), list(attached.tags.rest)
    parts = attached.parts if attached.layout == wanted else ()
    if wanted in ("RIFF", "FORM", "caff"):
        layout = chunks.form(encoded)
        assert layout is not None
        chunks.undate(encoded, layout)
        if attached.layout == wanted:
            kept = [part for part in parts if same_time or not chunks.is_timed(part, layout)]
            lost = chunks.names([part for part in parts if part not in kept], layout)
        elif wanted == "caff":
            kept, lost = [], [*lost, *_named(attached.tags)]
        else:
            kept = tagging.to_chunks(attached.tags, layout)
        if kept:
            chunks.carry(encoded, target, layout, kept)
            return lost
    elif wanted == "FLAC":
        blocks = [(each[0], content or b"") for each, content in parts if each != b"ID3"]
        if not same_time and any(block == _CUE_SHEET for block, _ in blocks):
            blocks, lost = [each for each in blocks if each[0] != _CUE_SHEET], ["cue sheet"]
        elif attached.layout == "FLAC":
            lost = []
        else:
            blocks = tagging.to_blocks(attached.tags)
        target.write(dict(parts).get(b"ID3") or b"")
        _flac(encoded, target, blocks)
        return lost
    elif wanted == "MP3":
        data = encoded.read()
        body = data[mpeg.tags_end(data) : mpeg.tags_start(data)]
        around = dict(parts) if attached.layout == "MP3" else {b"ID3": tagging.to_id3(attached.tags)}
        target.write((around.get(b"ID3") or b"") + body + (around.get(b"TAG") or b""))
        return [] if attached.layout == "MP3" else lost
    elif kind[0] == "OGG":
        target.write(tagging.to_ogg(encoded.read(), attached.tags, kind[1] == "OPUS"))
        return lost
    else:
        lost += _named(attached.tags)
    encoded.seek(0)
    while block := encoded.read(1 << 20):
        target.write(block)
    return lost


def _named(tags: Tags) -> list[str]:
    return [*tags.texts, *(["pictures"] if tags.pictures else [])]


def _flac(encoded: BinaryIO, target: BinaryIO, blocks: list[tuple[int, bytes]]) -> None:
    """A FLAC file with these metadata blocks behind the one that describes the audio."""
    data = mapped(encoded)
    end = 0
    for kind, content, after in flac.blocks(data):
        end = after
        if kind == _STREAM_INFO:
            blocks = [(kind, content), *blocks]
    target.write(b"fLaC")
    for number, (kind, content) in enumerate(blocks):
        last = 0x80 if number == len(blocks) - 1 else 0
        target.write(bytes([kind | last]) + len(content).to_bytes(3, "big") + content)
    del data  # what is read of a mapped file counts as memory
    encoded.seek(end)
    while block := encoded.read(1 << 20):
        target.write(block)
