"""What lies in a folder: one rule for every command that takes a folder of files."""

from __future__ import annotations

import os
from pathlib import Path

SCENES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")  # files of scenes over time, or of rows


def files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Every file below `folder` whose name ends in one of the suffixes, in any case, in path order.

    Links are followed, to files and to folders; each real folder is visited once, under its own path where it has one
    below `folder`. Names that begin with a dot are left out, folders too: work in progress, and what macOS puts beside
    files. A link to nothing is listed, so that reading it names it.

    Args:
        suffixes: lower case, with the dot; `.jsonl.gz` may be one.

    Raises:
        OSError: a folder cannot be read.
    """
    found: list[Path] = []
    seen: set[str] = set()
    folders, links = [folder], list[Path]()
    while folders or links:
        here = folders.pop() if folders else links.pop(0)
        real = os.path.realpath(here)
        if real in seen:
            continue
        seen.add(real)
        with os.scandir(here) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = Path(here, entry.name)
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    (links if entry.is_symlink() else folders).append(path)
                elif entry.name.lower().endswith(suffixes) and (entry.is_file() or entry.is_symlink()):
                    found.append(path)
    return sorted(found)
