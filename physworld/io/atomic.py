"""Files and folders that are either whole or absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it over `path` when the block ends well, delete it otherwise.

    The temporary name keeps the suffix, because video writers choose their container by it. A write that fails (a full
    disk) or that never began (no folder) is told by this file's name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None or str(error.filename) == str(temporary):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


NEW, OLD = ".new", ".old"


@contextmanager
def replacing_within(folder: Path) -> Iterator[Path]:
    """Yield an empty folder within `folder`. When the block ends well, the files and folders that lie in it take the
    places of those of their names, each as a whole; otherwise, on a full disk for example, the old ones stay as they
    were.

    One process at a time. Changing places needs no room on the disk, and what a process leaves that is killed
    meanwhile is brought back by the next.
    """
    new = folder / NEW
    _bring_back(folder)
    new.mkdir(parents=True)
    try:
        yield new
        (new / OLD).mkdir()
        for path in sorted(new.iterdir()):
            there = folder / path.name
            if path.name != OLD:
                if there.is_dir():  # which no folder can be moved over
                    os.rename(there, new / OLD / path.name)
                os.rename(path, there)
    finally:
        _bring_back(folder)


def _bring_back(folder: Path) -> None:
    """Of a change that was not ended: the old where there is no new one; the rest goes."""
    if (folder / NEW / OLD).is_dir():
        for path in (folder / NEW / OLD).iterdir():
            if not (folder / path.name).exists():
                os.rename(path, folder / path.name)
    shutil.rmtree(folder / NEW, ignore_errors=True)
