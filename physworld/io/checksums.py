"""SHA256SUMS: what files of a folder held when they were written, in the form of `sha256sum -c SHA256SUMS`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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


def write_sums(folder: Path) -> None:
    """The sums of every file of a folder, its card left out."""
    with replacing(folder / SUMS) as temporary:
        temporary.write_text("".join(f"{digest(path)}  {path.name}\n" for path in _files(folder)), encoding="utf-8")


@contextmanager
def summed(path: Path) -> Iterator[Path]:
    """As `replacing`; the file's sum is then a line of SHA256SUMS beside it. Killed on the way it has none, and is
    taken as it is."""
    _note(path.parent, {path.name: ""})
    with replacing(path) as temporary:
        yield temporary
    add_sums(path.parent, [path.name])


def add_sums(folder: Path, names: Sequence[str]) -> None:
    """The sums of some files of a folder; lines of others stay."""
    _note(folder, {name: f"{digest(folder / name)}  {name}\n" for name in names})


def _note(folder: Path, lines: Mapping[str, str]) -> None:
    """Replace what stands for some files."""
    sums = folder / SUMS
    before = sums.read_text(encoding="utf-8", errors="replace") if sums.is_file() else ""
    kept = [one for one in before.splitlines(keepends=True) if one.rstrip("\n").partition("  ")[2] not in lines]
    after = "".join((*kept, *lines.values()))
    if after != before:
        with replacing(sums) as temporary:
            temporary.write_text(after, encoding="utf-8")


def refuse_changed(folder: Path, *names: str) -> None:
    """Refuse a folder whose files are not what they were when it was written; one without sums is taken as it is.

    Args:
        names: files to look at; none = all.

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
        if names and found.group(2) not in names:
            continue
        path = folder / found.group(2)
        if not path.is_file():
            raise FormatError(f"{path} is missing, and {SUMS} beside it names it")
        if digest(path) != found.group(1):
            raise FormatError(
                f"{path} is not what was written: it is damaged, or was edited (then delete {SUMS} beside it)"
            )
