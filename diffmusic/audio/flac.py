"""Frames of a damaged FLAC file: which of them are whole, and how a decoder is shown those alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_SIZES = {1: 192, **{code: 576 << code - 2 for code in range(2, 6)}, **{code: 256 << code - 8 for code in range(8, 16)}}
_TRIES = 4
"""Places after a frame's begin that may be its end: a sync code comes about by chance too."""


@dataclass(frozen=True)
class Run:
    """Whole frames that follow each other. data: a FLAC file of them; start: the sample of the first one."""

    data: bytes
    start: int


@dataclass(frozen=True)
class _Frame:
    place: int
    first: int
    samples: int


def blocks(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The metadata blocks of a FLAC file: type, content, and where what follows begins."""
    at, last = data.find(b"fLaC") + 4, False
    while not last and 4 <= at <= len(data) - 4:
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        last, kind = bool(data[at] & 0x80), data[at] & 0x7F
        yield kind, data[at + 4 : at + 4 + size], at + 4 + size
        at += 4 + size


def runs(data: bytes) -> tuple[list[Run], int]:
    """The whole frames of a file in memory, and how many samples it should have; no runs if it is no FLAC file."""
    info, at = b"", 0
    for kind, content, after in blocks(data):
        info, at = (content if kind == 0 else info), after
    if len(info) != 34:
        return [], 0
    fixed = int.from_bytes(info[:2], "big")
    total = int.from_bytes(info[13:18], "big") & (1 << 36) - 1
    frames = [frame for found in _SYNC.finditer(data, at) if (frame := _frame(data, found.start(), fixed))]
    whole = _whole(data, frames)
    grouped: list[list[tuple[_Frame, int]]] = []
    for frame, stop in whole:
        before = grouped[-1][-1] if grouped else None
        if before and before[0].first + before[0].samples == frame.first and before[1] == frame.place:
            grouped[-1].append((frame, stop))
        else:
            grouped.append([(frame, stop)])
    made = [_file(data, info, group) for group in grouped]
    return made, max(total, whole[-1][0].first + whole[-1][0].samples if whole else 0)


def _file(data: bytes, info: bytes, group: Sequence[tuple[_Frame, int]]) -> Run:
    """A run with a header of its own. Its frames keep their numbers: a decoder begins where the first one says."""
    samples = sum(frame.samples for frame, _ in group)
    told = (int.from_bytes(info[10:18], "big") >> 36 << 36 | samples).to_bytes(8, "big")
    # Neither the sizes of frames nor the hash are those of the whole file.
    header = info[:4] + bytes(6) + told + bytes(16)
    frames = b"".join(_renumbered(data[frame.place : stop], n) for n, (frame, stop) in enumerate(group))
    return Run(b"fLaC\x80\x00\x00\x22" + header + frames, group[0][0].first)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number as UTF-8 would have it, of up to 36 bits, and its bytes; 0 bytes where it is none."""
    first = data[at]
    if first < 0x80:
        return first, 1
    length = 8 - (first ^ 0xFF).bit_length()
    rest = data[at + 1 : at + length]
    if length < 2 or length > 7 or len(rest) != length - 1 or any(byte & 0xC0 != 0x80 for byte in rest):
        return 0, 0
    value = first & (0x7F >> length)
    for byte in rest:
        value = value << 6 | byte & 0x3F
    return value, length


def _coded(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    length = next(n for n in range(2, 8) if value < 1 << 5 * n + 1)
    rest = [value >> 6 * k & 0x3F | 0x80 for k in range(length - 2, -1, -1)]
    return bytes([0xFF << 8 - length & 0xFF | value >> 6 * (length - 1), *rest])


def _frame(data: bytes, at: int, fixed: int) -> _Frame | None:
    """The frame whose header is at a place; None where the checksum says that there is none."""
    if at + 16 > len(data):
        return None
    number, length = _number(data, at + 4)
    size = data[at + 2] >> 4
    end = at + 4 + length + {6: 1, 7: 2}.get(size, 0) + {12: 1, 13: 2, 14: 2}.get(data[at + 2] & 15, 0)
    if not length or not size or _crc(data[at:end], 8, 0x07) != data[end]:
        return None
    extra = data[at + 4 + length : at + 4 + length + (size - 5)] if size in (6, 7) else b""
    samples = int.from_bytes(extra, "big") + 1 if extra else _SIZES[size]
    variable = data[at + 1] & 1
    return _Frame(at, number if variable else number * fixed, samples)


def _renumbered(frame: bytes, number: int) -> bytes:
    """The same frame with another number, where blocks have one size: decoders begin at 0."""
    if frame[1] & 1:
        return frame
    length = _number(frame, 4)[1]
    end = 4 + length + {6: 1, 7: 2}.get(frame[2] >> 4, 0) + {12: 1, 13: 2, 14: 2}.get(frame[2] & 15, 0)
    head = frame[:4] + _coded(number) + frame[4 + length : end]
    body = head + bytes([_crc(head, 8, 0x07)]) + frame[end + 1 : -2]
    return body + _checksum(body).to_bytes(2, "big")


def _whole(data: bytes, frames: Sequence[_Frame]) -> list[tuple[_Frame, int]]:
    """The frames whose checksum is right, and where each ends."""
    places = [frame.place for frame in frames] + [len(data)]
    found: list[tuple[_Frame, int]] = []
    for number, frame in enumerate(frames):
        if found and frame.place < found[-1][1]:
            continue  # in the middle of a frame that is whole
        stops = places[number + 1 : number + 1 + _TRIES]
        stop = next((each for each in stops if _checksum(data[frame.place : each]) == 0), None)
        if stop is not None:
            found.append((frame, stop))
    return found


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    value, top = 0, 1 << bits - 1
    for byte in data:
        value ^= byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & (1 << bits) - 1
    return value


_PERIOD = 32767
"""Bytes after which the remainder of CRC-16 by ``x^16 + x^15 + x^2 + 1`` repeats itself."""


@cache
def _remainders() -> np.ndarray:
    """What each byte adds to CRC-16, (place from the end, byte): it is linear."""
    one = np.array([_crc(bytes([byte]), 16, 0x8005) for byte in range(256)], dtype=np.uint16)
    table = np.empty((_PERIOD, 256), dtype=np.uint16)
    table[0] = one
    for place in range(1, _PERIOD):
        table[place] = (table[place - 1] << 8) ^ one[table[place - 1] >> 8]
    return table


def _checksum(part: bytes) -> int:
    """CRC-16 of bytes; 0 for those that end with their own."""
    places = np.arange(len(part) - 1, -1, -1) % _PERIOD
    return int(np.bitwise_xor.reduce(_remainders()[places, np.frombuffer(part, np.uint8)]))
