"""Payloads from a file: one as JSON, or many as JSONL, plain or compressed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from physworld.io.compression import opened
from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.reading import MOST_BYTES, Invalid, lines, parse_json, payload_from

MANY = (".jsonl", ".ndjson")
PACKED = (".gz", ".zst")


@dataclass(frozen=True)
class Asked:
    """A payload, or why there is none."""

    name: str  # the file, or the file and its line
    payload: Payload | None
    problem: str = ""


def holds_many(path: Path) -> bool:
    """Whether a file is read line by line; suffixes in any case."""
    name = path.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return name.endswith(MANY)


def read_payloads(path: Path) -> Iterator[Asked]:
    """Every payload of a file; blank lines are none.

    Raises:
        OSError, EOFError, zlib.error: the file cannot be read (`compression.BROKEN`).
    """
    with opened(path) as file:
        if not holds_many(path):
            yield _read(str(path), file.read(MOST_BYTES + 1))
            return
        for number, line in enumerate(lines(file), 1):
            if line.strip():
                yield _read(f"{path} line {number}", line)


def _read(name: str, text: bytes) -> Asked:
    try:
        return Asked(name, payload_from(parse_json(text)))
    except Invalid as error:
        return Asked(name, None, str(error))
