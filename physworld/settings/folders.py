"""A refused command leaves no folder behind: Hydra makes one before the command has looked at its settings."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

EMPTY = {".hydra", ".lock", "config.yaml", "versions.json"}  # what a folder holds in which nothing has happened yet
_before: set[Path] = set()  # folders above, at and below the command's own, as they were before Hydra made any


class Folders(Callback):
    """Looks at what is there, before Hydra makes a folder."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        look(Path(str(config.hydra.run.dir)))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        look(Path(str(config.hydra.sweep.dir)))


def look(folder: Path) -> None:
    """Remember which folders are there that this command did not make."""
    folder = folder.absolute()
    _before.clear()
    _before.update(place for place in (folder, *folder.parents, *folder.rglob("*")) if place.is_dir())


def drop(folder: Path) -> None:
    """Remove a folder that this command made and in which nothing has happened, and those above it that it made."""
    folder = folder.absolute()
    if not _before or folder in _before or not folder.is_dir() or {path.name for path in folder.iterdir()} - EMPTY:
        return
    shutil.rmtree(folder)
    with contextlib.suppress(OSError):  # another command has put something there
        for above in folder.parents:
            if above in _before:
                return
            if [path.name for path in above.iterdir()] == ["multirun.yaml"]:
                (above / "multirun.yaml").unlink()
            above.rmdir()
