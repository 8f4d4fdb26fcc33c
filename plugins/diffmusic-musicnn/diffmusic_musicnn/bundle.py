"""Reading the variables of a TensorFlow checkpoint (tensor bundle, "V2") without TensorFlow.

The index file is a sorted string table in the layout of LevelDB. Its last 48 bytes point to a block that points to
blocks of entries: the name of a variable, and a protocol buffer (``BundleEntryProto``) with its type, its shape, and
where its values lie in the data file. Formats: tensorflow/core/protobuf/tensor_bundle.proto and LevelDB's
doc/table_format.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FOOTER, MAGIC = 48, 0xDB4775248B80FB57
TYPES = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}
"""NumPy's types by TensorFlow's numbers, as far as variables have them."""


def read(index: Path, data: Path) -> dict[str, np.ndarray]:
    """Read every variable of a checkpoint of one shard.

    Args:
        index: The file ``NAME.index``.
        data: The file ``NAME.data-00000-of-00001``.

    Returns:
        Variables by name, in the shapes that they have.

    Raises:
        ValueError: For files that are no such checkpoint, or damaged ones.
        OSError: For files that cannot be read.
    """
    table, values = index.read_bytes(), data.read_bytes()
    if len(table) < FOOTER or int.from_bytes(table[-8:], "little") != MAGIC:
        raise ValueError(f"{index} is no index of a TensorFlow checkpoint")
    try:
        return dict(_variables(table, values))
    except (IndexError, KeyError) as error:
        raise ValueError(f"{index} is damaged, or holds what is no plain variable") from error


def _variables(table: bytes, values: bytes) -> Iterator[tuple[str, np.ndarray]]:
    _, at = _handle(table, len(table) - FOOTER)
    blocks, _ = _handle(table, at)
    for _, handle in _entries(table, *blocks):
        block, _ = _handle(handle, 0)
        for name, entry in _entries(table, *block):
            if name:  # the entry without a name tells how many files there are
                yield name.decode(), _values(dict(_fields(entry)), values)


def _values(entry: dict[int, Any], values: bytes) -> np.ndarray:
    """The array of a BundleEntryProto: 1 type, 2 shape, 4 offset and 5 size in bytes; what is 0 is left out."""
    dimensions = _fields(entry.get(2, b""))
    shape = [dict(_fields(each)).get(1, 0) for number, each in dimensions if number == 2]
    kind, start, size = TYPES[entry[1]], entry.get(4, 0), entry[5]
    if start + size > len(values) or size != math.prod(shape) * kind.itemsize:
        raise IndexError("values outside the data")
    return np.frombuffer(values[start : start + size], kind).reshape(shape)


def _entries(table: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block: each key shares its first bytes with the one before it."""
    block = table[start : start + size]
    if table[start + size]:
        raise IndexError("a compressed block")
    restarts = int.from_bytes(block[-4:], "little")
    key, at, end = b"", 0, size - 4 - 4 * restarts
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Start and size of a block, and where what follows them begins."""
    start, at = _varint(data, at)
    size, at = _varint(data, at)
    return (start, size), at


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of the fields of a protocol buffer; nested messages as bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}[kind]
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where what follows it begins."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
