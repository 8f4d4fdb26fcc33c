"""Frames of an MP3 file, counted one by one: how long it is, whatever its header says, and where it is damaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from diffmusic.audio.mpeg_header import Header, is_frame, tags_end, tags_start

__all__ = ["Stream", "is_frame", "scan", "tags_end", "tags_start"]

_FRAMES_KNOWN, _BYTES_KNOWN, _TABLE_KNOWN, _QUALITY_KNOWN = 1, 2, 4, 8
_OVERLAP = 1056
"""Samples into which a frame goes on sounding: half a transform, and the filter bank."""
_DELAY = 529
"""Samples that a decoder drops where it meets a header frame: its own delay."""


@dataclass(frozen=True)
class Stream:
    """The frames of a file that holds MPEG audio.

    start, end: bytes between which they lie; the tags are outside. places: where each frame begins. holes: (frame,
    frames) that what lies between two frames has cost, by its length. head: whether the first frame holds no sound,
    but says how many follow. promised: frames that it says; None where it does not.
    """

    data: bytes
    start: int
    end: int
    places: Sequence[int]
    holes: tuple[tuple[int, int], ...]
    head: bool
    promised: int | None

    @cached_property
    def header(self) -> Header:
        found = Header.parse(self.data, self.start)
        assert found is not None
        return found

    @property
    def frames(self) -> int:
        """Frames that hold sound, with those that a hole has cost."""
        return len(self.places) - self.head + sum(count for _, count in self.holes)

    @property
    def faithful(self) -> bool:
        """Whether the file is what it says, so that a decoder which believes it reads all of it."""
        return not self.holes and self.promised == self.frames

    @property
    def samples(self) -> int:
        """Samples of all frames, with those that an encoder put before and behind the sound."""
        return self.frames * self.header.samples

    @property
    def promised_samples(self) -> int:
        """Samples that the header frame promises, without those that the encoder has added."""
        at = self._encoder()
        padding = 0 if at is None else (self.data[at + 1] & 15) << 8 | self.data[at + 2]
        return (self.promised or 0) * self.header.samples - self._delay - padding

    @property
    def lost(self) -> list[tuple[int, int]]:
        """What a decoder makes of the holes is not what was there: (start, stop) in samples of the decoded sound.

        Each begins with a frame that only looks whole, and ends behind the frames some of whose sound lay in it, and
        what overlaps with those.
        """
        shift = self._delay + _DELAY if self.head else 0
        found, before = [], 0
        for place, count in self.holes:
            first, last = (
                max(0, place - 1),
                place + count + len(self._dependent(place)) - int(-_OVERLAP // self.header.samples),
            )
            found.append(tuple(max(0, (before + at) * self.header.samples - shift) for at in (first, last)))
            before += count
        return [(start, stop) for start, stop in found]

    def mended(self) -> tuple[bytes, int]:
        """The frames with a header that tells how many there are, silence of the right length in every hole and for the
        frames that depend on it; and how many of the samples that a decoder then begins with are none of the file's."""
        frames = [self.data[at : min(at + self._size(at), self.end)] for at in self.places[self.head :]]
        for place, count in reversed(self.holes):
            for number, pointer in enumerate(self._dependent(place), place):
                frames[number] = self._silenced(frames[number], pointer)
            # The frame in which the hole begins has a header that looks whole.
            frames[max(0, place - 1) : place] = [self._silence] * (count + min(1, place))
        if self.head:
            return self._old_head(b"".join(frames), len(frames)) + b"".join(frames), 0
        # A header frame makes a decoder drop its delay, which the file as it is does not.
        frames.insert(0, self._silence)
        return self._new_head(b"".join(frames), len(frames)) + b"".join(frames), self.header.samples - _DELAY

    def _dependent(self, place: int) -> list[int]:
        """For each frame from a place on some of whose sound lies before it: how much of that is there, in bytes."""
        found, there = [], 0
        for at in self.places[place + self.head :]:
            side = at + (4 if self.data[at + 1] & 1 else 6)
            wanted = int.from_bytes(self.data[side : side + 2], "big") >> (7 if self._first else 8)
            if wanted <= there:
                break
            found.append(there)
            there += self._size(at) - (side - at) - self.header.side
        return found

    @property
    def _first(self) -> bool:
        """Whether it is MPEG 1, and not a later one with lower rates."""
        return self.data[self.start + 1] >> 3 & 3 == 3

    def _size(self, at: int) -> int:
        header = Header.parse(self.data, at)
        return header.size if header else 0

    @cached_property
    def _silence(self) -> bytes:
        """A frame without a reservoir, without bits, without sound."""
        place = self.places[-1]
        header = bytes([self.data[place], self.data[place + 1] | 1, *self.data[place + 2 : place + 4]])
        return header + bytes(self._size(place) - 4)

    def _silenced(self, frame: bytes, pointer: int) -> bytes:
        """A frame that says nothing, but still holds what later ones have in it, and so many bytes before it."""
        header, side = bytes([frame[0], frame[1] | 1]) + frame[2:4], self.header.side
        return header + (pointer << (7 if self._first else 8)).to_bytes(2, "big") + bytes(side - 2) + frame[4 + side :]

    @property
    def _delay(self) -> int:
        """Samples that the encoder put before the sound, by the header frame."""
        at = self._encoder()
        return 0 if at is None else (self.data[at] << 4) + (self.data[at + 1] >> 4)

    def _encoder(self) -> int | None:
        """Where a header frame says what the encoder has added at both ends; None where it does not."""
        at = self.start + 4 + self.header.side
        if not self.head or self.data[at : at + 4] not in (b"Xing", b"Info"):
            return None
        flags = int.from_bytes(self.data[at + 4 : at + 8], "big")
        sizes = {_FRAMES_KNOWN: 4, _BYTES_KNOWN: 4, _TABLE_KNOWN: 100, _QUALITY_KNOWN: 4}
        at += 8 + sum(size for flag, size in sizes.items() if flags & flag)
        return at + 21 if self.data[at : at + 4] in (b"LAME", b"Lavf", b"Lavc", b"GOGO") else None

    def _old_head(self, body: bytes, frames: int) -> bytes:
        frame = bytearray(self.data[self.start : self.start + self.header.size])
        xing = 4 + self.header.side
        if frame[xing : xing + 4] not in (b"Xing", b"Info"):
            return self._new_head(body, frames)
        at, flags = xing + 8, int.from_bytes(frame[xing + 4 : xing + 8], "big")
        if flags & _FRAMES_KNOWN:
            frame[at : at + 4] = frames.to_bytes(4, "big")
            at += 4
        if flags & _BYTES_KNOWN:
            frame[at : at + 4] = (len(frame) + len(body)).to_bytes(4, "big")
        encoder = self._encoder()
        if encoder is not None and frames != self.promised:
            # What lies at the end of a file that was cut is sound, and not what the encoder has added.
            frame[encoder - self.start + 1] &= 0xF0
            frame[encoder - self.start + 2] = 0
        return bytes(frame)

    def _new_head(self, body: bytes, frames: int) -> bytes:
        # At the highest bit rate there is always room.
        four = bytes([0xFF, self.data[self.start + 1] | 1, self.data[self.start + 2] & 0x0C | 0xE0])
        four += self.data[self.start + 3 : self.start + 4]
        header = Header.parse(four, 0)
        assert header is not None
        told = b"Xing" + (_FRAMES_KNOWN | _BYTES_KNOWN).to_bytes(4, "big") + frames.to_bytes(4, "big")
        told += (header.size + len(body)).to_bytes(4, "big")
        return (four + bytes(header.side) + told).ljust(header.size, b"\0")


def scan(data: bytes) -> Stream | None:
    """The frames of a file in memory; None where three do not follow each other."""
    at, end = tags_end(data), tags_start(data)
    start = _sync(data, at, end, None)
    if start is None:
        return None
    like = Header.parse(data, start)
    assert like is not None
    places, holes, sizes, at = [start], [], like.size, start + like.size
    while at < end:
        header = Header.parse(data, at)
        if header and (header.layer, header.rate) == (like.layer, like.rate):
            if at + header.size > end + 8:  # cut off in the middle
                break
            places.append(at)
            sizes += header.size
            at += header.size
            continue
        again = _sync(data, at + 1, end, like)
        if again is None:
            break
        # The last frame before a hole may have lost its end; what it costs is counted by bytes.
        missing = round((again - at) / (sizes / len(places)))
        if missing:
            holes.append((len(places), missing))
        at = again
    head, promised = _promise(data, start, like)
    return Stream(data, start, end, places, tuple((place - head, count) for place, count in holes), head, promised)


def _sync(data: bytes, at: int, end: int, like: Header | None) -> int | None:
    """The next place from which three frames of one kind follow each other, or the file ends after one or two."""
    while (at := data.find(b"\xff", at, end)) >= 0:
        here, kind = at, None
        for number in range(3):
            header = Header.parse(data, here)
            if header is None or (kind or (header.layer, header.rate)) != (header.layer, header.rate):
                break
            if like and (header.layer, header.rate) != (like.layer, like.rate):
                break
            kind, here = (header.layer, header.rate), here + header.size
            if number == 2 or here == end:
                return at
        at += 1
    return None


def _promise(data: bytes, start: int, like: Header) -> tuple[bool, int | None]:
    """Whether the first frame is a header (Xing, Info or VBRI), and the frames that it promises."""
    xing, vbri = start + 4 + like.side, start + 36
    if data[xing : xing + 4] in (b"Xing", b"Info"):
        flags = int.from_bytes(data[xing + 4 : xing + 8], "big")
        return True, int.from_bytes(data[xing + 8 : xing + 12], "big") if flags & _FRAMES_KNOWN else None
    if data[vbri : vbri + 4] == b"VBRI":
        return True, int.from_bytes(data[vbri + 14 : vbri + 18], "big")
    return False, None
