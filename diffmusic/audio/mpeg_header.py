"""Headers of MPEG audio frames, and the tags around them."""

from __future__ import annotations

from dataclasses import dataclass

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
# kbit/s by (MPEG 1 or not, layer bits), index 1 to 14.
_KILOBITS = {
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


@dataclass(frozen=True)
class Header:
    """What four bytes say of a frame. layer: 1 to 3; size: bytes; samples: of each channel."""

    layer: int
    rate: int
    size: int
    samples: int
    side: int

    @classmethod
    def parse(cls, data: bytes, at: int) -> Header | None:
        """The header at a place of the file; None where there is none, or one of free format."""
        if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
            return None
        version, layer = data[at + 1] >> 3 & 3, data[at + 1] >> 1 & 3
        bits, rates, pad = data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
        if version == 1 or layer == 0 or bits in (0, 15) or rates == 3:
            return None
        first, mono = version == 3, data[at + 3] >> 6 == 3
        rate, kilobits = _RATES[version][rates], _KILOBITS[first, layer][bits - 1]
        if layer == 3:
            return cls(1, rate, (12000 * kilobits // rate + pad) * 4, 384, 0)
        samples = 576 if layer == 1 and not first else 1152
        side = (17 if mono else 32) if first else (9 if mono else 17)
        return cls(4 - layer, rate, samples // 8 * kilobits * 1000 // rate + pad, samples, side)


def is_frame(data: bytes, at: int) -> bool:
    """Whether a frame begins at a place of a file, and another one behind it."""
    header = Header.parse(data, at)
    return header is not None and (at + header.size >= len(data) or Header.parse(data, at + header.size) is not None)


def tags_end(data: bytes) -> int:
    """Where the ID3v2 tags at the beginning of a file end."""
    at = 0
    while data[at : at + 3] == b"ID3" and at + 10 <= len(data):
        size = 0
        for byte in data[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size + (10 if data[at + 5] & 0x10 else 0)
    return at


def tags_start(data: bytes) -> int:
    """Where the tags at the end of a file begin: ID3v1, and APE before it."""
    end = len(data)
    if end >= 128 and data[end - 128 : end - 125] == b"TAG":
        end -= 128
    if end >= 32 and data[end - 32 : end - 24] == b"APETAGEX":
        size, flags = (int.from_bytes(data[end - at : end - at + 4], "little") for at in (20, 12))
        end -= size + (32 if flags & 0x80000000 else 0)
    return max(0, end)
