"""SHA256SUMS: what a folder of weights held when it was written, in the form of `sha256sum -c SHA256SUMS`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from physworld.errors import FormatError
from physworld.io.atomic import replacing

SUMS = "SHA256SUMS"
FREE = ("README.md", SUMS)  # a card is there to be edited


def digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(*parts: str | bytes) -> str:
    """SHA-256 of the parts, each with its length before it."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(str(len(data)).encode() + b":" + data)
    return found.hexdigest()


def files_digest(paths: Sequence[Path]) -> str:
    """Of the contents and names of files, in the order of their names."""
    found = hashlib.sha256()
    for path in sorted(paths):
        found.update(path.name.encode())
        with path.open("rb") as stream:
            found.update(hashlib.file_digest(stream, "sha256").digest())
    return found.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in FREE and not path.name.startswith("."):
            yield path


def forget(folder: Path) -> None:
    """Before files of the folder are written anew."""
    (folder / SUMS).unlink(missing_ok=True)


def write_sums(folder: Path) -> None:
    """The sums of every file of a folder, its card left out."""
    with replacing(folder / SUMS) as temporary:
        temporary.write_text("".join(f"{digest(path)}  {path.name}\n" for path in _files(folder)), encoding="utf-8")


def refuse_changed(folder: Path) -> None:
    """Refuse a folder whose files are not what they were when it was written; one without sums is taken as it is.

    Raises:
        FormatError: names the first file that was changed or is gone.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return
        raise FormatError(f"{folder / SUMS} cannot be read") from None
    for line in lines:
        found = re.fullmatch(r"([0-9a-f]{64})  ([^/\0]+)", line)
        if found is None:
            raise FormatError(f"{folder / SUMS} is damaged")
        path = folder / found.group(2)
        if not path.is_file():
            raise FormatError(f"{path} is missing, and {SUMS} beside it names it")
        if digest(path) != found.group(1):
            raise FormatError(
                f"{path} is not what was written: it is damaged, or was edited (then delete {SUMS} beside it)"
            )
