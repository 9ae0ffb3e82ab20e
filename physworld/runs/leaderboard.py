"""`physworld leaderboard FOLDER...`: what runs and evaluations below some folders measured, as rows of one leaderboard.

Every system says itself which of its figures stand there (`numbers` of its task.py). A metrics.json from elsewhere may
bring them along, under `leaderboard`: a list of objects with the keys of `reporting.leaderboard.Number`.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from rich.console import Console

from physworld.errors import FormatError, UserError
from physworld.io.checksums import refuse_changed
from physworld.io.plain_yaml import load_yaml
from physworld.reporting.leaderboard import Entry, Number, Source, refuse_odd, write
from physworld.runs.directory import brought_as, find_named, relative, versions

NAMED = ("name", "weights", "predictions", "run")  # of an evaluation's configuration, the first that is there
CARRIED = "leaderboard"  # key of a metrics.json that brings its own numbers
NEEDED = [f.name for f in fields(Number) if f.default is MISSING]


@dataclass(frozen=True, kw_only=True)
class About:
    """What a folder tells beside its figures."""

    model: str
    suite: str  # '' where it has none
    split: str  # '' where it is not told
    seed: str


Reader = Callable[[Mapping[str, Any], About], list[Number]]


def leaderboard(
    folders: Sequence[str], readers: Mapping[str, Sequence[Reader]], out: Path, console: Console
) -> list[Entry]:
    """Write leaderboard.md, .html and .csv into `out` from everything below the folders.

    Args:
        readers: file name -> what makes numbers of such a file's content; [] where it is another's.

    Raises:
        UserError: a folder is not there, or nothing below it has figures for a leaderboard.
    """
    entries: list[Entry] = []
    for name in folders:
        folder = find_named(name)
        if folder is None:
            raise UserError(f"{name} is no folder; give folders of runs or evaluations, last, shipped or solver.")
        found = list(_below(folder, readers, console))
        if not found:
            raise UserError(f"{name} has no figures for a leaderboard: no finished run or evaluation is there.")
        entries += found
    command = shlex.join(["physworld", "leaderboard", *folders, "--out", str(out)])
    for path in write(entries, out, command, versions()["commit"]):
        console.print(f"Written: {path}", soft_wrap=True)
    return entries


def _below(folder: Path, readers: Mapping[str, Sequence[Reader]], console: Console) -> Iterator[Entry]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(set(files) & set(readers)):
            path = Path(place) / name
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                refuse_changed(path.parent, name)
                yield from _entries(path, content, readers[name])
            except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
                why = f"it has no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0][:100]
                if isinstance(error, json.JSONDecodeError):
                    why = f"line {error.lineno} is no JSON"
                console.print(f"Left out: {path} is not as physworld writes it ({why}).", soft_wrap=True)


def _entries(path: Path, content: Mapping[str, Any], readers: Sequence[Reader]) -> Iterator[Entry]:
    about, measured = _about(path), content.get("measured", {})
    brought = content.get(CARRIED, [])
    if not isinstance(brought, list) or not all(isinstance(one, dict) for one in brought):
        raise ValueError(f"{CARRIED} is no list of numbers as objects")
    numbers = [carried(one) for one in brought]
    for read in readers:
        numbers += read(content, about)
    seeds = content.get("seeds", measured.get("seed", about.seed))
    source = Source(
        folder=relative(str(path.parent.absolute())).as_posix(),
        command=str(content.get("command", measured.get("command", "not told"))),
        commit=str(measured.get("commit", "not told")),
        seeds=", ".join(map(str, seeds)) if isinstance(seeds, list) else str(seeds),
    )
    yield from ((one, source) for one in numbers)


def carried(one: Mapping[str, Any]) -> Number:
    """A number that a file brought along.

    Raises:
        ValueError: a key is missing, unknown or of another type.
    """
    missing = [name for name in NEEDED if name not in one]
    unknown = [name for name in one if name not in {f.name for f in fields(Number)}]
    if missing or unknown:
        raise ValueError(f"a number lacks {missing[0]}" if missing else f"a number has the unknown key {unknown[0]}")
    refuse_odd(one)
    for name, kind in (("unit", str), ("same", str), ("higher", bool), ("reference", bool)):
        if not isinstance(one.get(name, kind()), kind):
            raise ValueError(f"{name} of a number is {one[name]!r}, no {'text' if kind is str else 'true or false'}")
    texts: dict[str, Any] = {name: str(one[name]) for name in ("board", "model", "figure")}
    return Number(**{**one, **texts})


def _about(path: Path) -> About:
    """From the configuration beside a file, or above it where several models were evaluated at once."""
    for folder, own in ((path.parent, True), (path.parent.parent, False)):
        if not (folder / "config.yaml").is_file():
            continue
        try:
            config = load_yaml(folder / "config.yaml")
        except FormatError:
            config = None
        if not isinstance(config, dict):
            continue
        suite, seed, split = (config.get(key) for key in ("suite", "seed", "split"))
        return About(
            model=_model(config, path.parent) if own else path.parent.name,
            suite=str(suite["name"]) if isinstance(suite, dict) and "name" in suite else "",
            split="" if split is None else str(split),
            seed="not told" if seed is None else str(seed),
        )
    return About(model=path.parent.name, suite="", split="", seed="not told")


def _model(config: Mapping[str, Any], folder: Path) -> str:
    named = next((config[key] for key in NAMED if isinstance(config.get(key), str)), None)
    if "data" in config or named is None:  # a run speaks of itself
        return brought_as(folder) or relative(str(folder.absolute())).as_posix()
    return Path(named).name if config.get("predictions") == named else named
