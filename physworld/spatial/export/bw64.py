"""Chunks of a WAVE file, with 64-bit sizes or without (RIFF, RF64, BW64: ITU-R BS.2088)."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

LONG = 2**32 - 1  # a size that stands in the ds64 chunk
MOST_XML = 64_000_000  # bytes


@dataclass(frozen=True, kw_only=True)
class AdmChunks:
    """What there is to know of a file besides its samples."""

    axml: bytes | None
    seconds: Fraction | None  # length of the audio


def read_chunks(path: Path) -> AdmChunks | None:
    """None: the file is no WAVE file.

    Raises:
        OSError: the file cannot be read.
        struct.error, ValueError, OverflowError: it is damaged.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if len(head) < 12 or head[:4] not in (b"RIFF", b"BW64", b"RF64") or head[8:] != b"WAVE":
            return None
        return _read(file)


def _read(file: BinaryIO) -> AdmChunks:
    long: dict[bytes, int] = {}
    axml, frame, rate, size_of_data = None, 0, 0, None
    while len(head := file.read(8)) == 8:
        name, size = head[:4], int(struct.unpack("<I", head[4:])[0])
        size = long.get(name, size) if size == LONG else size
        after = file.tell() + size + size % 2
        if name == b"ds64":
            long |= _long_sizes(file.read(min(size, 10_000)))
        elif name == b"fmt " and size >= 16:
            _, _, rate, _, frame, _ = struct.unpack("<HHIIHH", file.read(16))
        elif name == b"data":
            size_of_data = size
        elif name == b"axml" and size <= MOST_XML:
            axml = file.read(size)
        elif name == b"bxml" and axml is None:
            axml = _unpacked(file.read(min(size, MOST_XML)))
        file.seek(after)
    known = size_of_data is not None and frame and rate
    return AdmChunks(axml=axml, seconds=Fraction((size_of_data or 0) // frame, rate) if known else None)


def _long_sizes(body: bytes) -> dict[bytes, int]:
    if len(body) < 28:
        return {}
    found = {b"data": int(struct.unpack("<Q", body[8:16])[0])}
    for k in range(min(int(struct.unpack("<I", body[24:28])[0]), (len(body) - 28) // 12)):
        name, size = struct.unpack("<4sQ", body[28 + 12 * k : 40 + 12 * k])
        found[name] = size
    return found


def _unpacked(body: bytes) -> bytes | None:
    """bxml: two bytes that say how it is packed (1 = gzip), and the XML."""
    try:
        return zlib.decompressobj(31).decompress(body[2:], MOST_XML) if body[:2] == b"\1\0" else None
    except zlib.error:
        return None
