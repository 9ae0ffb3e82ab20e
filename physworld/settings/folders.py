"""A refused command leaves no trace: Hydra makes a folder, or writes into it, before the command has looked at its
settings."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from physworld.io.atomic import replacing

EMPTY = {".hydra", ".lock", "config.yaml", "versions.json"}  # what a folder holds in which nothing has happened yet
OWN = "config.yaml"  # a command that was not refused has written it anew
STATE = "run.json"
_before: set[Path] = set()  # folders above, at and below the command's own, as they were before Hydra made any
_kept: dict[Path, bytes] = {}  # what a command writes in them before it can be refused
_owned: dict[Path, int] = {}  # their OWN, by when it was written


class Folders(Callback):
    """Looks at what is there, before Hydra makes a folder."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        look(Path(str(config.hydra.run.dir)))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        look(Path(str(config.hydra.sweep.dir)))


def look(folder: Path) -> None:
    """Remember which folders are there that this command did not make, and what is in them that it may write over."""
    folder = folder.absolute()
    for known in (_before, _kept, _owned):
        known.clear()
    # Not rglob: it raises where another command takes a folder away meanwhile.
    inside = [Path(place) / name for place, folders, files in os.walk(folder) for name in (*folders, *files)]
    _before.update(place for place in (folder, *folder.parents, *inside) if place.is_dir())
    for path in inside:
        with contextlib.suppress(OSError):  # another command has taken it away
            if path.parent.name == ".hydra" or path.name in (STATE, "multirun.yaml"):
                _kept[path] = path.read_bytes()
            elif path.name == OWN:
                _owned[path] = path.stat().st_mtime_ns


def as_it_was(path: Path) -> str:
    """A small file of Hydra's, as it was before this command wrote over it; '' where there was none."""
    known = _kept.get(path.absolute())
    if known is None and path.is_file():
        with contextlib.suppress(OSError):
            known = path.read_bytes()
    return (known or b"").decode("utf-8", "replace")


def drop(folder: Path) -> None:
    """Undo what a refused command did: remove a folder in which nothing has happened, or restore what was in it."""
    folder = folder.absolute()
    if folder in _before:
        _restore(folder)
        return
    if not _before or not folder.is_dir():
        return
    there = {path.name for path in folder.iterdir()}
    if OWN not in there and _ours(folder / STATE):  # it was refused before it began
        there.discard(STATE)
    if there - EMPTY:
        return
    shutil.rmtree(folder)
    with contextlib.suppress(OSError):  # another command has put something there
        for above in folder.parents:
            if above in _before:
                return
            if [path.name for path in above.iterdir()] == ["multirun.yaml"]:
                (above / "multirun.yaml").unlink()
            above.rmdir()


def _restore(folder: Path) -> None:
    own = folder / OWN
    if (own.stat().st_mtime_ns if own.is_file() else None) != _owned.get(own):
        return  # it has begun, and what lies there is its own
    state = folder / STATE
    if state not in _kept and _ours(state):
        state.unlink(missing_ok=True)
    for path, content in _kept.items():
        if path.parent in (folder, folder / ".hydra") and (path.name != STATE or _ours(path)):
            with contextlib.suppress(OSError), replacing(path) as temporary:
                temporary.write_bytes(content)
    if not any(path.parent == folder / ".hydra" for path in _kept):
        shutil.rmtree(folder / ".hydra", ignore_errors=True)


def _ours(state: Path) -> bool:
    """Whether this process wrote it; the record of a command that runs there is that command's."""
    try:
        return bool(json.loads(state.read_text(encoding="utf-8"))["pid"] == os.getpid())
    except (OSError, ValueError, KeyError, TypeError):
        return False
