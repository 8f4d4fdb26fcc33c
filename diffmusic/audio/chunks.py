"""Chunks of RIFF, RF64, AIFF and CAF files: found, and carried byte for byte from one file into another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

Part = tuple[bytes, bytes | None]
"""The name and the content of a chunk; None stands for what belongs to the audio and is made anew. A part without a
name is what lies behind the last chunk."""

_PEAK_WRITTEN = 4
_LITTLE = 4096


@dataclass(frozen=True)
class Form:
    """How a kind of file is laid out.

    begin: bytes before the first chunk. width: bytes of a chunk's size. even: whether chunks begin at even places.
    audio: chunks that describe or hold the audio, the first of which says things (where its channels are heard) that a
    new one would not. timed: those that mean samples of the audio, by name or by name and
    the kind of list. data: the chunk that holds the samples.
    """

    magic: tuple[bytes, ...]
    order: Literal["little", "big"]
    begin: int
    width: int
    even: bool
    audio: tuple[bytes, ...]
    timed: tuple[bytes, ...]
    data: bytes


FORMS = (
    Form(
        (b"RIFF", b"RF64"), "little", 12, 4, True, (b"fmt ", b"ds64", b"fact", b"PEAK", b"data"),
        (b"cue ", b"smpl", b"plst", b"LISTadtl"), b"data",
    ),
    Form((b"FORM",), "big", 12, 4, True, (b"", b"FVER", b"COMM", b"PEAK", b"SSND"), (b"MARK", b"INST"), b"SSND"),
    Form(
        (b"caff",), "big", 8, 8, False, (b"", b"desc", b"pakt", b"kuki", b"peak", b"free", b"data"),
        (b"mark", b"regn", b"inst", b"strg"), b"data",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Chunk:
    """A chunk of a file: where its content begins, the bytes that are there, and those that its header promises."""

    name: bytes
    at: int
    size: int
    promised: int


def form(file: BinaryIO) -> Form | None:
    """How a file is laid out; None for one without chunks."""
    file.seek(0)
    magic = file.read(4)
    return next((form for form in FORMS if magic in form.magic), None)


def find(file: BinaryIO, layout: Form) -> tuple[list[Chunk], int]:
    """The chunks of a file, in order, and where the last one ends.

    Where the chunk of the samples says that it holds nothing, or all ones, as recorders leave it that were cut off, or
    where no chunk follows it, it holds the rest of the file.
    """
    end, at = file.seek(0, os.SEEK_END), layout.begin
    found: list[Chunk] = []
    long: int | None = None
    while at + 4 + layout.width <= end:
        file.seek(at)
        name = file.read(4)
        size = int.from_bytes(file.read(layout.width), layout.order)
        if not all(32 <= byte < 127 or byte == 0xA9 for byte in name):
            break
        at += 4 + layout.width
        if name == b"ds64" and not found:
            file.seek(at + 8)
            long = int.from_bytes(file.read(8), "little")
        there = min(size, end - at)
        if name == layout.data and size == 2**32 - 1 and long is not None:
            there = size = min(long, end - at)
        elif name == layout.data and (size in (0, 2**32 - 1) or not _follows(file, layout, at + there, end)):
            there = end - at
        found.append(Chunk(name, at, there, size))
        at += there + (there % 2 if layout.even else 0)
    return found, min(at, end)


def _follows(file: BinaryIO, layout: Form, at: int, end: int) -> bool:
    """Whether what lies behind a place is another chunk, nothing, or too little to be sound."""
    at += at % 2 if layout.even else 0
    if layout.order == "big" or end - at < _LITTLE:
        return True
    file.seek(at)
    name, size = file.read(4), int.from_bytes(file.read(4), "little")
    return name.isascii() and name.decode().isprintable() and at + size <= end


def parts(file: BinaryIO, layout: Form) -> tuple[Part, ...]:
    """What a file holds besides its audio, in order, with a place for the audio."""
    found, end = find(file, layout)
    out: list[Part] = []
    for chunk in found:
        out.append((chunk.name, _content(file, chunk) if chunk.name not in layout.audio[1:] else None))
    file.seek(end)
    rest = file.read()
    return (*out, *([(b"", rest)] if rest.strip(b"\0") else []))


def names(chunks: Sequence[Part], layout: Form) -> list[str]:
    """What there is besides the audio, as it is called; padding is not counted."""
    skipped = (b"JUNK", b"junk", b"FLLR", b"PAD ", layout.audio[0])
    kinds = [_kind(name, content) for name, content in chunks if content is not None and name not in skipped]
    return list(dict.fromkeys(kind.decode("latin-1").strip() or "bytes at the end" for kind in kinds))


def is_timed(part: Part, layout: Form) -> bool:
    """Whether a chunk means samples of the audio."""
    name, content = part
    return name in layout.timed or _kind(name, content) in layout.timed


def carry(encoded: BinaryIO, target: BinaryIO, layout: Form, kept: Sequence[Part]) -> None:
    """Write the audio of ``encoded`` with the chunks of another file of the same layout around it, in their order.

    What describes the audio comes from ``encoded``, all of it before the samples.
    """
    found, _ = find(encoded, layout)
    own = [chunk for chunk in found if chunk.name in layout.audio]
    there = [name for name, _ in kept]
    if layout.data not in there:
        kept = [(layout.data, None), *kept]
    elif layout.width == 8 or layout.order == "big" or _alike(encoded, own, kept):
        # libsndfile adds chunks that other programs leave out.
        own = [chunk for chunk in own if chunk.name in there or chunk.name not in (b"PEAK", b"fact", b"peak")]
    encoded.seek(0)
    target.write(encoded.read(layout.begin))
    for name, content in kept:
        if name == layout.data:
            chosen = own
        elif name in layout.audio:
            # What describes the audio lies together, but for what may stand before and behind it.
            chosen = [each for each in own if each.name != layout.data]
        else:
            _write(target, layout, name, content or b"")
            continue
        for each in chosen:
            if each.name == name and content and _same(content, _content(encoded, each)):
                _write(target, layout, name, content)
            else:
                _copy(encoded, target, layout, each)
        own = [each for each in own if each not in chosen]
    end = target.tell()
    if layout.width == 4:
        large = end - 8 >= 2**32 - 1
        target.seek(4)
        target.write((2**32 - 1 if large else end - 8).to_bytes(4, layout.order))
        target.seek(0)
        if target.read(4) == b"RF64":
            target.seek(20)
            target.write((end - 8).to_bytes(8, "little"))
    target.seek(end)


def undate(file: BinaryIO, layout: Form) -> None:
    """Let no PEAK chunk tell when it was written: the same audio is the same bytes."""
    for chunk in find(file, layout)[0]:
        if chunk.name == b"PEAK":
            file.seek(chunk.at + _PEAK_WRITTEN)
            file.write(bytes(4))


def subchunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks in the content of a RIFF list, which begins with its kind."""
    at = 4
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        yield content[at : at + 4], content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def chunk(name: bytes, content: bytes, layout: Form = FORMS[0]) -> bytes:
    """The bytes of a chunk."""
    pad = bytes(len(content) % 2) if layout.even else b""
    return name + len(content).to_bytes(layout.width, layout.order) + content + pad


def _alike(encoded: BinaryIO, own: Sequence[Chunk], kept: Sequence[Part]) -> bool:
    """Whether samples lie in a new WAV file as in the old one."""
    old = dict(kept).get(b"fmt ")
    new = next((_content(encoded, each) for each in own if each.name == b"fmt "), b"")
    return old is not None and _same(old, new)


def _same(old: bytes, new: bytes) -> bool:
    """Whether two fmt chunks mean samples that are laid out in the same way."""
    tags = [each[24:26] if each[:2] == b"\xfe\xff" else each[:2] for each in (old, new)]
    return tags[0] == tags[1] and old[2:16] == new[2:16]


def _kind(name: bytes, content: bytes | None) -> bytes:
    return name + content[:4] if name == b"LIST" and content else name


def _content(file: BinaryIO, found: Chunk) -> bytes:
    file.seek(found.at)
    return file.read(found.size)


def _write(target: BinaryIO, layout: Form, name: bytes, content: bytes) -> None:
    target.write(chunk(name, content, layout) if name else content)


def _copy(source: BinaryIO, target: BinaryIO, layout: Form, found: Chunk) -> None:
    target.write(found.name + min(found.promised, 2 ** (8 * layout.width) - 1).to_bytes(layout.width, layout.order))
    source.seek(found.at)
    left = found.size
    while left > 0:
        block = source.read(min(left, 1 << 20))
        target.write(block)
        left -= len(block)
    if layout.even:
        target.write(bytes(found.size % 2))
