"""Byte streams of files that may be compressed, by suffix in any case: `.gz`, `.zst`, anything else is plain."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from physworld.io.atomic import replacing

BROKEN = (OSError, EOFError, zlib.error)  # what `opened` raises while it is read when the file is damaged


def damage(error: BaseException) -> str:
    """What is wrong with a file that raised one of BROKEN, in a few words."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The uncompressed bytes of `path`."""
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as stream:
            yield stream  # type: ignore[misc]  # GzipFile reads bytes, its stub is no IO[bytes]
    elif path.suffix.lower() == ".zst":
        import zstandard

        with path.open("rb") as packed:
            reader = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
            try:
                yield io.BufferedReader(reader)
            except zstandard.ZstdError as error:
                raise OSError(str(error)) from error
    else:
        with path.open("rb") as stream:
            yield stream


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A stream whose bytes become `path`, compressed, when the block ends well."""
    with replacing(path) as temporary, temporary.open("wb") as raw:
        if path.suffix.lower() == ".gz":
            # No name and no time inside, so that equal contents give equal files.
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as stream:
                yield stream  # type: ignore[misc]
        elif path.suffix.lower() == ".zst":
            import zstandard

            with zstandard.ZstdCompressor().stream_writer(raw, closefd=False) as stream:
                yield stream
        else:
            yield raw
