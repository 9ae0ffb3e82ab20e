"""Pieces of an evaluation, each answered once, by whichever process, and kept as a file of arrays.

Nothing that is asked depends on another piece's answer, so the pieces may be answered in any order and anywhere; what
is made of them is that of one process to the bit. Nothing is read but arrays of numbers.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from physworld.io.atomic import replacing
from physworld.io.checksums import digest_of, files_digest

Arrays = dict[str, np.ndarray]
Ask = Callable[[], Arrays]


# What numpy and zipfile say of a file in which a bit has turned.
BROKEN = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def load_arrays(path: Path) -> Arrays | None:
    """Of an .npz file; None when there is none, or it is damaged: then what it held is made anew."""
    try:
        with zipfile.ZipFile(path) as parts:
            if parts.testzip() is not None:  # before numpy believes a header
                return None
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except BROKEN:  # NotImplementedError, of an unknown compression, is a RuntimeError
        return None


@contextmanager
def turn(path: Path, *, wait: bool) -> Iterator[bool]:
    """One process or machine at a time: True within, or False when another is there and we do not wait.

    The system gives the lock free when its process is killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


class Pieces:
    """Answers by name in one folder, from where an evaluation that was stopped goes on."""

    def __init__(self, folder: Path | None, key: str) -> None:
        """
        Args:
            folder: None = nothing is kept.
            key: changes with whatever else than its name could change a piece's answer.
        """
        self.folder, self.key = folder, key

    def __call__(self, name: str, ask: Ask) -> Arrays:
        """The kept answer, or one that is made now."""
        if self.folder is None:
            return ask()
        found = self._load(self.folder, name)
        if found is None:
            with self._turn(self.folder, name, wait=True):
                found = self._load(self.folder, name)  # made while we waited
                if found is None:
                    found = ask()
                    self._save(self.folder, name, found)
        return found

    def fill(
        self, asked: Mapping[str, Ask], *, share: int, shares: int, done: Callable[[str], None] = lambda _: None
    ) -> None:
        """Answer the own share for a later call, then what others left.

        Args:
            done: called with the name of each piece that is answered, here or elsewhere.

        Raises:
            ValueError: there is no folder in which the shares could meet.
        """
        if self.folder is None:
            raise ValueError("shares need a folder in which they meet")
        names = list(asked)
        others = [name for number, name in enumerate(names) if number % shares != share]
        for name in [*names[share::shares], *reversed(others)]:
            with self._turn(self.folder, name, wait=False) as ours:
                if ours and self._load(self.folder, name) is None:
                    self._save(self.folder, name, asked[name]())
            done(name)

    def _path(self, folder: Path, name: str) -> Path:
        stem = digest_of(self.key, name)[:40]
        return folder / stem[:2] / f"{stem}.npz"

    def _save(self, folder: Path, name: str, arrays: Arrays) -> None:
        with replacing(self._path(folder, name)) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    def _load(self, folder: Path, name: str) -> Arrays | None:
        return load_arrays(self._path(folder, name))

    def _turn(self, folder: Path, name: str, *, wait: bool) -> AbstractContextManager[bool]:
        return turn(folder / "locks" / f"{self._path(folder, name).stem}.lock", wait=wait)


ALONE = Pieces(None, "")
PACKAGE = Path(__file__).resolve().parents[1]


def kept_pieces(cache: str | None, system: str, weights: Path, *asked: str) -> Pieces:
    """Where the pieces of an evaluation of finished weights are kept.

    Args:
        weights: a folder; whatever is below it changes the answers, as does the system's code.
        asked: how the evaluation asks.
    """
    if cache is None:
        return ALONE
    code = [path for room in (system, "lm", "types") for path in (PACKAGE / room).rglob("*.py")]
    files = [path for path in weights.rglob("*") if path.is_file()]
    return Pieces(Path(str(cache)) / system, digest_of(files_digest(code), files_digest(files), *asked))
