"""Pages of an Ogg file: streams that follow each other in one file, pages that are damaged, and an end that lacks."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

_FIRST, _LAST = 2, 4
_HEADERS = {b"\x01vorbis": 3, b"OpusHead": 2}
"""How many packets say what follows, by how the first of them begins."""
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Page:
    """One page: its bytes in the file, what its header says, and how many packets end on it."""

    start: int
    stop: int
    flags: int
    granule: int
    serial: int
    number: int
    packets: int


@dataclass(frozen=True)
class Piece:
    """Pages that a decoder can read by themselves: the headers and an unbroken row of pages with sound.

    data: a file. granule: the sample, by the stream's clock, at which the piece ends.
    """

    data: bytes
    granule: int


@dataclass(frozen=True)
class Link:
    """One stream of a file that may hold several, one after the other.

    pieces: one, unless pages are missing or damaged. ended: whether the last page says that it is the last.
    """

    pieces: Sequence[Piece]
    ended: bool


def links(data: bytes) -> list[Link] | None:
    """The streams of a file in memory, in order; None where it holds something else than one stream of Vorbis or Opus
    after the other."""
    pages = _pages(data)
    if not pages or not pages[0].flags & _FIRST:
        return None
    groups: list[list[Page]] = []
    for page in pages:
        if page.flags & _FIRST:
            groups.append([])
        groups[-1].append(page)
    if any(page.serial != group[0].serial for group in groups for page in group):
        return None  # streams beside each other, as in a video
    made = [_link(data, group) for group in groups]
    found = [link for link in made if link]
    return found if len(found) == len(made) else None


def _link(data: bytes, pages: Sequence[Page]) -> Link | None:
    begin = pages[0].start + 27 + data[pages[0].start + 26]
    wanted = next((count for word, count in _HEADERS.items() if data[begin:].startswith(word)), None)
    if wanted is None:
        return None
    ended, heads = 0, 0
    while ended < wanted and heads < len(pages):
        ended += pages[heads].packets
        heads += 1
    if ended < wanted or any(page.number != number for number, page in enumerate(pages[:heads], pages[0].number)):
        return None
    runs: list[list[Page]] = [[]]
    before = pages[heads - 1]
    for page in pages[heads:]:
        if page.number != before.number + 1 and runs[-1]:
            runs.append([])
        runs[-1].append(page)
        before = page
    head = data[pages[0].start : pages[heads - 1].stop]
    pieces = [
        Piece(head + b"".join(data[page.start : page.stop] for page in run), run[-1].granule) for run in runs if run
    ]
    return Link(pieces, bool(pages[-1].flags & _LAST))


def _pages(data: bytes) -> list[Page]:
    """Every page whose checksum is right."""
    found, at = [], 0
    while (at := data.find(b"OggS", at)) >= 0:
        segments = data[at + 26] if at + 27 <= len(data) else 0
        table = data[at + 27 : at + 27 + segments]
        stop = at + 27 + segments + sum(table)
        if stop > len(data) or at + 27 > len(data):
            at += 4
            continue
        granule, serial, number, told = (
            int.from_bytes(data[at + first : at + last], "little", signed=first == 6)
            for first, last in ((6, 14), (14, 18), (18, 22), (22, 26))
        )
        if _checksum(data[at : at + 22] + bytes(4) + data[at + 26 : stop]) != told:
            at += 4
            continue
        packets = sum(size < 255 for size in table)
        found.append(Page(at, stop, data[at + 5], granule, serial, number, packets))
        at = stop
    return found


def _checksum(data: bytes) -> int:
    """CRC-32 with the bits of every byte in the order in which Ogg has them, from 0."""
    reflected = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reflected:032b}"[::-1], 2)
