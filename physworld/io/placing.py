"""Single files put where others may lie already: nothing that differs is ever written over."""

from __future__ import annotations

import filecmp
import itertools
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from physworld.errors import UserError


@contextmanager
def placing(directory: Path, option: str = "out") -> Iterator[Path]:
    """Yield an empty folder; when the block ends well, what was written into it comes to lie in `directory`.

    A file that is there with the same bytes stays, so the same command can run again over what it had made.

    Args:
        option: what chose the directory on the command line.

    Raises:
        UserError: another file has one of the names; then nothing is put there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished_", dir=directory) as work:
        try:
            yield Path(work)
        except OSError as error:  # the folder of work in progress is gone when the name is read
            if error.filename is None or str(error.filename).startswith(work):
                error.filename = str(directory)
            raise
        made = {file: directory / file.relative_to(work) for file in sorted(Path(work).rglob("*")) if file.is_file()}
        new = {file: target for file, target in made.items() if not target.exists()}
        for file, target in made.items():
            if file not in new and not filecmp.cmp(file, target, shallow=False):
                raise UserError(
                    f"{target} is there already and is not what this command makes (another seed, setting or version "
                    f"made it); choose another {option}, or move it."
                )
        for file, target in new.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)


def refuse_unmade(directory: Path, option: str = "--out") -> None:
    """Try whether a file can be put into a folder, which may not be there yet, and leave nothing behind.

    Raises:
        UserError: it cannot.
    """
    made = [place for place in (directory, *directory.parents) if not place.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        why = "it is a file" if directory.is_file() else error.strerror or error
        raise UserError(f"{option} {directory} is no folder that can be written into ({why}).") from None
    finally:
        for place in made:
            with suppress(OSError):  # it was not made, or another command has put something there
                place.rmdir()


def folder_for(parent: Path, of: Path) -> Path:
    """Where the report on a folder goes by default: a folder of the same name in `parent`.

    Reports on two folders of one name do not lie over each other: the second one gets a number. A file `.of`, which is
    made here, says whose it is.
    """
    name = of.resolve().name or "clips"
    for place in (parent / (name if k == 1 else f"{name}_{k}") for k in itertools.count(1)):
        mark = place / ".of"
        if not mark.exists():
            place.mkdir(parents=True, exist_ok=True)
            mark.write_text(f"{of.resolve()}\n", encoding="utf-8", errors="surrogateescape")
        if mark.read_text(encoding="utf-8", errors="surrogateescape") == f"{of.resolve()}\n":
            return place
    raise AssertionError("numbers do not end")


def report_folder(
    directory: Path, files: Sequence[str], marks: Sequence[Sequence[str]], inputs: Sequence[Path]
) -> None:
    """Refuse a folder that a report must not be written into.

    Args:
        files: what the report writes there.
        marks: files that only a report of this kind leaves; one set of them must be whole where any of `files` lies.
        inputs: folders that are read.

    Raises:
        UserError: it holds a run or files of somebody else, or lies in an input, whose next reader would take the
            report's pictures for clips.
    """
    for folder in inputs:
        if directory.resolve().is_relative_to(folder.resolve()):
            raise UserError(
                f"The report would lie in {directory}, within the clips of {folder}, and its pictures would be read as "
                "clips from then on; give --out another folder."
            )
    ours = any(all((directory / name).exists() for name in mark) for mark in marks)
    theirs = "" if ours else next((name for name in files if (directory / name).exists()), "")
    if (directory / "config.yaml").exists() or theirs:
        raise UserError(
            f"--out {directory} holds a run or another report ({theirs or 'config.yaml'}); give a folder of its own."
        )
