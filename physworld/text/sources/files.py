"""Scenes from files (ours or published ones), read lazily; windows as from simulated scenes."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from physworld import scenarios
from physworld.errors import FormatError, counted
from physworld.io import listing
from physworld.seeding import SPLITS, generator
from physworld.text.codecs._text import LARGEST
from physworld.text.codecs.scene_json import read_jsonl
from physworld.text.codecs.yaml_scene import is_by_hand
from physworld.text.shards import digest
from physworld.text.sources.windows import Windows, cut_windows
from physworld.types import Scene, Trajectory

SUFFIXES = listing.SCENES
SHARD = re.compile(rf"({'|'.join(SPLITS)})-\d+-of-\d+(\.parquet)?")


class Row(NamedTuple):
    """A scene in a Parquet file."""

    path: Path
    number: int

    def __str__(self) -> str:
        return f"{self.path} row {self.number}"


def _file(scene: Path | Row) -> Path:
    return scene.path if isinstance(scene, Row) else scene


def is_table(path: Path) -> bool:
    """Whether a file is Parquet, by its suffix in any case."""
    return path.suffix.lower() == ".parquet"


def scene_files(root: Path) -> list[Path]:
    """`root` itself, or every file of scenes below it, in path order; links are followed, hidden names left out.

    Raises:
        FormatError: it is a YAML scene; or one scene is there twice, so that it would count
            twice and might be in two splits.
    """
    if root.is_file():
        if is_by_hand(root):
            raise FormatError(f"{root} is a scene by hand, without frames; make them with: simulate.py input={root}")
        return [root]
    found = listing.files(root, SUFFIXES)
    for key, what in ((_without_suffix, "are one scene with two suffixes"), (os.path.realpath, "are one file")):
        known: dict[Any, Path] = {}
        for path in found:
            first = known.setdefault(key(path), path)
            if first is not path:
                raise FormatError(f"{first} and {path.relative_to(root)} {what}; leave one of them")
    return found


def _without_suffix(path: Path) -> str:
    suffix = max((end for end in SUFFIXES if path.name.lower().endswith(end)), key=len)
    return f"{path.parent}/{path.name[: -len(suffix)]}"


def scenes_below(root: Path) -> Iterator[tuple[Path | Row, str | None]]:
    """Every scene and, where that is known without reading it, its type.

    Raises:
        FormatError: a Parquet file cannot be read.
    """
    for path in scene_files(root):
        if is_table(path):
            yield from ((Row(path, row), name) for row, name in enumerate(_opened(path).names()))
        else:
            yield path, None


def read_scene(scene: Path | Row) -> Trajectory:
    """
    Raises:
        FormatError: names the file, the place and the problem.
    """
    shard = shard_of(_file(scene))
    if shard is not None:
        refuse_damaged_shard(shard)
    run = read_jsonl(scene) if not isinstance(scene, Row) else _read_row(scene)
    for name in ("position", "velocity"):
        large = np.abs(getattr(run, name)) > LARGEST
        if large.any():
            frame, body, axis = np.argwhere(large)[0].tolist()
            raise FormatError(
                f"{scene}: object {body} has {name} {'xy'[axis]} {getattr(run, name)[frame, body, axis]:g} in frame "
                f"{frame}; at most {LARGEST:g} {'px' if name == 'position' else 'px/s'} can be read"
            )
    return run


@lru_cache(maxsize=4096)
def refuse_damaged_shard(shard: Path) -> None:
    """A shard must be what manifest.json beside it says, if that names it; looked at once in a process.

    Raises:
        FormatError: its bytes are others.
    """
    try:
        splits = json.loads((shard.parent / "manifest.json").read_text(encoding="utf-8"))
        known = {entry["name"]: entry["sha256"] for part in splits.values() for entry in part["shards"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):  # no manifest of ours
        return
    if shard.name in known and digest(shard)[0] != known[shard.name]:
        raise FormatError(
            f"{shard} is not what manifest.json beside it says: it is damaged, or was edited; make it anew with the "
            "same simulate command, or delete manifest.json to read it as it is"
        )


def shard_of(path: Path) -> Path | None:
    """The shard that a file is, or lies in: the innermost on the whole way to it, as named or behind links."""
    # A cache of downloads keeps files under other names, behind links.
    for way in (Path(os.path.abspath(path)), Path(os.path.realpath(path))):
        found = next((place for place in (way, *way.parents) if SHARD.fullmatch(place.name)), None)
        if found is not None:
            return found
    return None


def shard_split(path: Path) -> str | None:
    """The split of that shard, or None."""
    shard = shard_of(path)
    return None if shard is None else shard.name.partition("-")[0]


def _read_row(scene: Row) -> Trajectory:
    file = _opened(scene.path)
    if not 0 <= scene.number < len(file):
        raise FormatError(f"{scene.path} has rows 0 to {len(file) - 1}, so there is no row {scene.number}")
    run: Trajectory = file.read(scene.number)
    return run


class FilesSource(Windows):
    """Every scene below `path`, each in one split, shuffled anew for every pass.

    The checksum of its name decides which; but shards called train-*, val-* or test-* (as `simulate.py shards=N` names
    them) keep theirs, and only where all are train-* is something held back from them. Window `index` is a function of
    (files, seed, split, index): workers and ranks read only the files of their own indices, and a resumed run reads on
    where the other stopped.
    """

    def __init__(
        self,
        *,
        path: str | None,
        seed: int,
        split: str,
        names: Sequence[str],
        difficulties: Sequence[int],
        context_frames: int = 1,
        target_frames: int = 1,
        windows_per_scene: int = 8,
        event_fraction: float = 0.66,
        include_resting: bool = False,
        held_back: float = 0.1,
        on_error: str = "raise",
        unwritable: Callable[[Scene], str] | None = None,
    ) -> None:
        """
        Args:
            path: a folder, for example with SCENARIO/BUCKET/scene_SEED.jsonl[.gz|.zst] or *.parquet below it, or one
                file.
            names: scenario types wanted; it selects among the rows of Parquet files, and among folders called like
                types. A file in no such folder is taken, whatever its type, but for the held-out ones: these are broken
                scenes where names does not ask for them.
            difficulties: not used: a file is what it is.
            event_fraction, include_resting: as of `PhysicsSource`.
            held_back: share of the scenes that val and test get together, half each.
            on_error: raise = a broken scene ends the run; skip = it is named and counted, and the next takes its place.
            unwritable: says why the text that is to be learned cannot write a scene, or ''; such a scene is broken.

        Raises:
            ValueError: nothing there, or an unknown on_error.
        """
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error={on_error} is unknown; choose raise or skip")
        if path is None:
            raise ValueError("data.path is missing; give a folder of .jsonl or .parquet files")
        root = Path(path)
        if not root.exists():
            raise ValueError(f"data.path={path} does not exist")
        found = scene_files(root)
        self.on_error, self.unwritable = on_error, unwritable
        self.skipped: dict[Path | Row, str] = {}
        there: dict[str, int] = {}  # scenes of each type that is told without reading them
        scenes: list[Path | Row] = []
        for file in found:
            rows = self._rows(file) if is_table(file) else [(file, _type_of_folder(file, root))]
            for scene, its in rows:
                if its is not None:
                    there[its] = there.get(its, 0) + 1
                if its is None or its in names:
                    scenes.append(scene)
        self.paths = _of_split(scenes, root, split, held_back)
        if not self.paths:
            said = next(iter(self.skipped.values()), "")
            raise ValueError(
                f"data.path={path} holds no {split} scene: "
                + (said or (_why_no_split(scenes, root, split, held_back) if scenes else _why_none(there, names)))
            )
        self.seed, self.split, self.names = seed, split, tuple(names)
        self._others: set[str] = set()  # types that nobody asked for, and that were named
        self.context_frames, self.target_frames = context_frames, target_frames
        super().__init__(windows_per_scene, event_fraction, include_resting)

    def _rows(self, path: Path) -> list[tuple[Row, str]]:
        """The scenes of a Parquet file with their types, by its column of names; nothing else of it is read."""
        try:
            return [(Row(path, row), name) for row, name in enumerate(_opened(path).names())]
        except FormatError as error:
            self._skip(path, str(error))
            return []

    def _skip(self, scene: Path | Row, problem: str) -> None:
        if self.on_error == "raise":
            raise FormatError(problem) from None
        self.skipped[scene] = problem
        print(f"Skipped ({len(self.skipped)} so far): {problem}", file=sys.stderr, flush=True)

    def _read(self, scene: Path | Row) -> Trajectory:
        run = read_scene(scene)
        other = run.scene.name
        if other in scenarios.HELD_OUT and other not in self.names:
            raise FormatError(
                f"{scene}: the scene is of type {other}, which is held out: nothing is trained on it unless "
                "scenario.names asks for it; take it away, or leave it out with data.source.on_error=skip"
            )
        if other not in self.names and other in scenarios.names() and other not in self._others:
            self._others.add(other)
            print(
                f"{scene}: the scene is of type {other}, which scenario.names does not ask for; what lies in no "
                "folder called like a type is taken whatever it is.",
                file=sys.stderr,
                flush=True,
            )
        why = self.unwritable(run.scene) if self.unwritable is not None else ""
        if why:
            place = str(scene) if isinstance(scene, Row) else f"{scene} line 1"
            many = f" (the scene has {len(run.scene.bodies)} bodies)" if why.endswith("bodies") else ""
            raise FormatError(f"{place}: {why}{many}")
        return run

    def _cut(self, number: int) -> list[tuple[Trajectory, Trajectory]]:
        turn, at = divmod(number, len(self.paths))
        order = generator(self.seed, self.split, turn).permutation(len(self.paths))
        problem = next(iter(self.skipped.values()), "")
        for step in range(len(self.paths)):
            scene = self.paths[int(order[(at + step) % len(self.paths)])]
            if scene in self.skipped:
                continue
            try:
                return cut_windows(
                    self._read(scene),
                    generator(self.seed, self.split, turn, at),
                    count=self.windows_per_scene,
                    context_frames=self.context_frames,
                    target_frames=self.target_frames,
                    event_fraction=self.event_fraction,
                    include_resting=self.include_resting,
                )
            except (FormatError, OSError, ValueError) as error:
                problem = str(error) if str(scene) in str(error) else f"{scene}: {error}"
                self._skip(scene, problem)
        raise FormatError(f"none of the {len(self.paths)} {self.split} scenes can be read; the last said: {problem}")


def _of_split(scenes: list[Path | Row], root: Path, split: str, held_back: float) -> list[Path | Row]:
    said = [shard_split(_file(scene)) for scene in scenes]
    kept = set(said) - {None}
    if kept == {"train"}:
        kept = set()
    chosen = []
    for scene, its in zip(scenes, said, strict=True):
        if its not in kept or its == "train":  # what no shards were made for is held back from train
            drawn = _drawn_split(scene, root, held_back)
            its = "train" if drawn in kept else drawn
        if its == split:
            chosen.append(scene)
    return chosen


def _type_of_folder(path: Path, root: Path) -> str | None:
    """The scenario type that a folder on the way to a file is called like, the innermost one."""
    known = scenarios.names()
    return next((part for part in reversed(path.relative_to(root).parts[:-1]) if part in known), None)


def _why_none(there: dict[str, int], names: Sequence[str]) -> str:
    """Why no scene is of use, whatever the split."""
    if not there:
        return f"no file there ends in {', '.join(SUFFIXES)}"
    asked = ", ".join(names) if len(names) <= 5 else f"{len(names)} types"
    listed = ", ".join(f"{name} ({count})" for name, count in sorted(there.items()))
    return f"its files hold 0 scenes of {asked}, which scenario.names asks for; there are {listed}"


def _why_no_split(scenes: Sequence[Path | Row], root: Path, split: str, held_back: float) -> str:
    """What held_back makes of so few scenes, and the least that would do."""
    many = counted(len(scenes), "scene")
    if any(shard_split(_file(scene)) for scene in scenes):
        return f"its {many} are shards of other splits; add files or folders called {split}-00000-of-00001"
    places = sorted(_place(scene, root) for scene in scenes)
    if split == "train":
        most = math.floor(places[-1] * 100) / 100
        return f"data.source.held_back={held_back:g} keeps all of {many} back; set {most:g} or less"
    which = places[0] if split == "val" else places[1] if len(places) > 2 else 1.0
    # val takes what lies below half of held_back, test what lies from there to held_back, train the rest
    least = math.ceil((2 * which if split == "val" else which) * 100 + 1e-9) / 100
    enough = least < 1 and (split == "val" or any(least / 2 <= place < least for place in places))
    enough = enough and any(place >= least for place in places)
    tell = f"set data.source.held_back={least:g}" if enough else "add scenes"
    return (
        f"data.source.held_back={held_back:g} of {many} leaves none for {split}; {tell}, or name files "
        f"{split}-00000-of-00001 and so on"
    )


def _drawn_split(scene: Path | Row, root: Path, held_back: float) -> str:
    place = _place(scene, root)
    return SPLITS[0] if place >= held_back else SPLITS[1] if place < held_back / 2 else SPLITS[2]


def _place(scene: Path | Row, root: Path) -> float:
    """0-1, by a scene's name alone."""
    path, row = scene if isinstance(scene, Row) else (scene, "")
    return zlib.crc32(f"{path.relative_to(root).as_posix()}{row}".encode()) / 2**32


def _opened(path: Path) -> Any:
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise FormatError(f"{path}: {why}") from None
    return _scenes_file(path, changed)


@lru_cache(16)
def _scenes_file(path: Path, _changed: int) -> Any:
    try:
        from physworld.text.codecs.scene_parquet import ScenesFile
    except ModuleNotFoundError:
        raise FormatError(f"{path}: reading Parquet needs pyarrow, which is in the extra physworld[parquet]") from None
    return ScenesFile(path)
