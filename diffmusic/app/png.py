"""Pictures with a palette, as PNG."""

from __future__ import annotations

import struct
import zlib

import numpy as np

# Colours of equal steps in lightness, from near black over violet and orange to near white (sRGB).
_STOPS = np.array(
    [(11, 12, 20), (38, 22, 66), (87, 27, 102), (143, 42, 99), (196, 65, 79), (233, 104, 52), (250, 158, 40),
     (248, 212, 96), (253, 252, 222)], float)  # fmt: skip


def palette(low: float, high: float) -> np.ndarray:
    """Colours of the codes 0 to 255, (256, 3), uint8: dark at ``low`` and below, bright at ``high`` and above."""
    place = np.clip((np.arange(256) - low) / max(1.0, high - low), 0, 1) * (len(_STOPS) - 1)
    colours = [np.interp(place, np.arange(len(_STOPS)), _STOPS[:, part]) for part in range(3)]
    return np.stack(colours, axis=-1).round().astype(np.uint8)


def encode(codes: np.ndarray, colours: np.ndarray) -> bytes:
    """Encode codes, (height, width), uint8, and the colours of each, (256, 3), as a PNG."""
    height, width = codes.shape
    lines = np.zeros((height, width + 1), np.uint8)
    lines[:, 1:] = codes
    parts = [
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        _chunk(b"PLTE", colours.tobytes()),
        _chunk(b"IDAT", zlib.compress(lines.tobytes(), 3)),
        _chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
