"""Datasets as files, in shards that any process may make, in any order, and again after a kill.

DIR/train-00003-of-00016.parquet    a shard: whole or absent (with format=jsonl a folder SCENARIO/scene_K.jsonl)
DIR/manifest.json                   per split: settings, and every shard with its scenes, bytes and sha256
DIR/.shards/*.json                  one record per shard: its settings, the code that made it, its checksum
DIR/.shards/*.lock                  empty
DIR/.shards/NAME.*/                 work in progress; a killed process leaves it, the next one on that shard removes it

Scene k is a function of (seed, split, k) and the settings, so neither the number of processes nor an interruption
changes a byte. What lies there is believed when its checksum is that of its record, and made anew when not. Processes
at the same shard take turns (a lock that ends with its process). A folder takes several splits.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

import physworld
from physworld import scenarios
from physworld.errors import UserError
from physworld.io import checksums
from physworld.seeding import generator
from physworld.sim.ood import maybe_shifted
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.scene_json import write_jsonl
from physworld.types import Scene, Trajectory

PACKAGE = Path(__file__).resolve().parents[1]
# Sources that decide what is in a scene and how it is written.
SHAPING = (
    *("types", "seeding.py", "scenarios", "sim", "io/compression.py", "text/shards.py"),
    "errors.py",  # counts in a scene's sentence
    *("text/codecs/scene_*.py", "text/codecs/_scene_dict.py", "text/codecs/_public.py", "text/codecs/_text.py"),
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Which scenes: number k takes the scenario types in turn, and at each turn the next difficulty."""

    names: tuple[str, ...]
    difficulties: tuple[int, ...]
    frames: int
    split: str
    seed: int
    family: str | None = None  # of ood.FAMILIES; None = as drawn
    level: float = 1.0  # of that family

    def name(self, index: int) -> str:
        """Scenario type of scene `index`."""
        return self.names[index % len(self.names)]

    def scene(self, index: int) -> Scene:
        """Scene `index`.

        Raises:
            UserError: the family has no room in it, 51 bodies for example.
        """
        difficulty = self.difficulties[index // len(self.names) % len(self.difficulties)]
        rng = generator(self.seed, self.split, index)
        try:
            return maybe_shifted(
                scenarios.build(self.name(index), rng, difficulty), rng, family=self.family, level=self.level
            )
        except ValueError as error:
            raise UserError(f"Scene {index} cannot be drawn: {error}.") from None

    def draw(self, index: int) -> Trajectory:
        """Scene `index`, simulated."""
        return simulate(self.scene(index), self.frames)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """`count` scenes of a recipe in `shards` pieces of consecutive scenes below `directory`."""

    recipe: Recipe
    directory: Path
    count: int
    shards: int
    suffix: str  # parquet, jsonl, jsonl.gz or jsonl.zst

    def write(self, shard: int | None = None, say: Callable[[str], None] = print) -> None:
        """Make one shard, or all of them in turn; those that are there are only checked.

        Raises:
            UserError: the folder holds shards of this split that other settings or other code made.
        """
        self._refuse_strangers()
        for number in range(self.shards) if shard is None else [shard]:
            made = self._make(number)
            target = self._target(self._name(number))
            say(f"{target}: {len(self._scenes(number))} scenes" + ("" if made else ", there already"))
        present = _manifest(self.directory)[self.recipe.split]["present"]
        say(f"{self.directory / 'manifest.json'}: {present} of {self.shards} {self.recipe.split} shards are there.")

    def _name(self, shard: int) -> str:
        return f"{self.recipe.split}-{shard:05d}-of-{self.shards:05d}"

    def _scenes(self, shard: int) -> range:
        return range(self.count * shard // self.shards, self.count * (shard + 1) // self.shards)

    def _target(self, name: str) -> Path:
        return self.directory / (f"{name}.parquet" if self.suffix == "parquet" else name)

    def _settings(self) -> dict[str, Any]:
        recipe: dict[str, Any] = json.loads(json.dumps(asdict(self.recipe)))
        return recipe | {"count": self.count, "shards": self.shards, "format": self.suffix}

    def _records(self) -> Iterator[dict[str, Any]]:
        """Of all shards of this split that were begun to be put in place."""
        for path in sorted((self.directory / ".shards").glob(f"{self.recipe.split}-*-of-*.json")):
            record = _read_record(path)
            if record is not None:
                yield record

    def _refuse_strangers(self) -> None:
        mine = {"settings": self._settings(), "made_with": made_with(self.suffix)}
        for record in self._records():
            for part, wanted in mine.items():
                found = record[part]
                for key in (*wanted, *found):
                    if found.get(key) != wanted.get(key):
                        raise UserError(
                            f"{self.directory} holds {self.recipe.split} shards made with "
                            f"{key}={_short(found.get(key))}, not {key}={_short(wanted.get(key))}; "
                            "use that, or choose another out."
                        )

    def _make(self, shard: int) -> bool:
        """False when it was there."""
        name = self._name(shard)
        records = self.directory / ".shards"
        records.mkdir(parents=True, exist_ok=True)
        with FileLock(records / f"{name}.lock"):  # the system gives it free when its process is killed
            for left in records.glob(f"{name}.*/"):  # what killed processes left
                shutil.rmtree(left)
            there = self._is_whole(name)
            if not there and self._target(name).exists() and not (records / f"{name}.json").exists():
                raise UserError(
                    f"{self._target(name)} lies there without its record in {records}; move it, or choose another out."
                )
            if not there:
                self._refuse_foreign(name, shard)
            work = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=records))
            try:
                if not there:
                    self._write_content(work / "content", self._scenes(shard))
                    self._publish(work, name, shard)
                self._write_manifest(work)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return not there

    def _refuse_foreign(self, name: str, shard: int) -> None:
        """A damaged shard is made anew, but what others put into its folder is not thrown away with it."""
        target = self._target(name)
        if self.suffix == "parquet" or not target.is_dir():
            return
        mine = {target / self.recipe.name(k) / f"scene_{k}.{self.suffix}" for k in self._scenes(shard)}
        foreign = sorted(file for file in target.rglob("*") if not file.is_dir() and file not in mine)
        if foreign:
            raise UserError(
                f"{target} is damaged and would be made anew, but {foreign[0]} is none of its files; move that away."
            )

    def _write_content(self, content: Path, scenes: range) -> None:
        if self.suffix == "parquet":
            from physworld.text.codecs.scene_parquet import ScenesWriter

            with ScenesWriter(content) as writer:
                for index in scenes:
                    writer.write(index, self.recipe.draw(index))
            return
        content.mkdir()
        for index in scenes:
            run = self.recipe.draw(index)
            write_jsonl(content / self.recipe.name(index) / f"scene_{index}.{self.suffix}", run, seed=index)

    def _publish(self, work: Path, name: str, shard: int) -> None:
        """Record the content, then move it to its place; a kill in between leaves a record without a shard."""
        target, scenes = self._target(name), self._scenes(shard)
        sha256, size = digest(work / "content")
        entry = {"name": target.name, "first": scenes.start, "scenes": len(scenes), "bytes": size, "sha256": sha256}
        entry |= {"settings": self._settings(), "made_with": made_with(self.suffix)}
        _write(entry, work / "record", self.directory / ".shards" / f"{name}.json")
        if target.exists():  # damaged
            os.rename(target, work / "old")
        os.rename(work / "content", target)

    def _is_whole(self, name: str) -> bool:
        record, target = _read_record(self.directory / ".shards" / f"{name}.json"), self._target(name)
        return record is not None and target.exists() and digest(target)[0] == record["sha256"]

    def _write_manifest(self, work: Path) -> None:
        """Written until nothing has changed meanwhile: then, whoever writes last, nobody's shard is left out."""
        path = self.directory / "manifest.json"
        wanted = _manifest(self.directory)
        while _read(path) != wanted:
            _write(wanted, work / "manifest", path)
            wanted = _manifest(self.directory)


def _manifest(directory: Path) -> dict[str, Any]:
    splits: dict[str, Any] = {}
    for path in sorted((directory / ".shards").glob("*-of-*.json")):
        record = _read_record(path)
        if record is None or not (directory / record["name"]).exists():
            continue
        common = {"settings": record.pop("settings"), "made_with": record.pop("made_with")}
        part = splits.setdefault(
            common["settings"]["split"],
            {**common, "expected": common["settings"]["shards"], "present": 0, "scenes": 0, "shards": []},
        )
        part["present"] += 1
        part["scenes"] += record["scenes"]
        part["shards"].append(record)
    return splits


def digest(path: Path) -> tuple[str, int]:
    """sha256 and bytes of a file; of a folder, the sha256 of what `sha256sum` says of its files, sorted by name."""
    if path.is_file():
        return checksums.digest(path), path.stat().st_size
    whole, size = hashlib.sha256(), 0
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    for name in sorted(files):
        one, length = digest(files[name])
        whole.update(f"{one}  {name}\n".encode())
        size += length
    return whole.hexdigest(), size


@cache
def made_with(suffix: str) -> dict[str, str]:
    """Versions and sources that decide about the bytes."""
    libraries = ["pymunk", "numpy"]
    libraries += {"parquet": ["pyarrow"], "jsonl.zst": ["zstandard"]}.get(suffix, [])
    sources = sorted({file for part in SHAPING for place in PACKAGE.glob(part) for file in _python_files(place)})
    code = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()
    versions = {name: importlib.metadata.version(name) for name in libraries}
    return {"physworld": physworld.__version__, **versions, "code": code[:16]}


def _python_files(place: Path) -> list[Path]:
    return [place] if place.is_file() else list(place.rglob("*.py"))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _read_record(path: Path) -> dict[str, Any] | None:
    """None also for what is no record of ours: its shard counts as not there."""
    found = _read(path) or {}
    parts = [found.get("settings"), found.get("made_with")]
    whole = {"name", "first", "scenes", "bytes", "sha256"} <= set(found) and all(isinstance(p, dict) for p in parts)
    return found if whole and {"split", "shards"} <= set(found["settings"]) else None


def _write(content: dict[str, Any], temporary: Path, path: Path) -> None:
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _short(value: Any) -> str:
    shown = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
